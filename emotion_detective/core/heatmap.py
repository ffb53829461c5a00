"""What the model saw of a face, and where it looked: a LayerCAM map.

LayerCAM (Jiang et al. 2021, IEEE TIP) weighs each place of a feature map by its own gradient, so it
also reads the finer maps of earlier stages. Grad-CAM's usual last stage has a stride of 32: on a
64-pixel face it would be a map of 2 x 2. Knows no Gradio.
"""

import numpy as np
import torch
from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core.classifier import Classifier

# The deepest stage that still tells an eye from the other: at least this many places a side.
MIN_MAP_SIDE = 7
# Side of the pictures handed out: the model's own input is too small to look at.
SHOWN_PX = 256
HEAT_SHARE = 0.55  # of the hottest place's colour
# From transparent over orange to yellow, dark to light: readable in gray and without red and green.
HEAT_COLORS = ((68, 1, 84), (213, 94, 0), (255, 240, 90))
EPSILON = 1e-8  # a map without any evidence is zero throughout


def seen(classifier: Classifier, crop: Image.Image) -> Image.Image:
    """Return a crop as the network gets it: gray, square, at its input size."""
    side = classifier.data_config["input_size"][-1]
    return crop.convert("RGB").resize((side, side), Image.Resampling.BILINEAR).convert("L")


def enlarged(face: Image.Image) -> Image.Image:
    """Return a seen face at `SHOWN_PX`."""
    return face.resize((SHOWN_PX, SHOWN_PX), Image.Resampling.BICUBIC)


def heat_map(classifier: Classifier, face: Image.Image, label: str) -> Image.Image | None:
    """Return a seen face at `SHOWN_PX`, coloured where the network found this label's evidence.

    None where the network's stages are no maps of the picture, as those of a vision transformer.
    """
    heat = _layer_cam(classifier, face, LABELS.index(label))
    if heat is None:
        return None
    heat = Image.fromarray(heat).resize((SHOWN_PX, SHOWN_PX), Image.Resampling.BICUBIC)
    level = np.asarray(heat).clip(0, 1)[..., None]  # (SHOWN_PX, SHOWN_PX, 1)
    steps = np.linspace(0, 1, len(HEAT_COLORS))
    color = np.stack(
        [np.interp(level[..., 0], steps, channel) for channel in np.transpose(HEAT_COLORS)], axis=-1
    )
    gray = np.asarray(enlarged(face).convert("RGB"), np.float32)
    opacity = HEAT_SHARE * level
    return Image.fromarray((gray * (1 - opacity) + color * opacity).round().astype(np.uint8))


def _layer_cam(classifier: Classifier, face: Image.Image, label_index: int) -> np.ndarray | None:
    """Return a float32 `(H, W)` map between 0 and 1, None where the stage gives none."""
    network = classifier.network
    if not hasattr(network, "forward_intermediates"):
        return None
    batch = classifier.preprocess([face])
    stage = _stage(network, batch.shape[-1])
    # The gradient goes back to the features alone: hooks and weights of the network stay untouched,
    # and visitors who are answered at the same moment notice nothing.
    final, (features,) = network.forward_intermediates(batch.requires_grad_(), indices=[stage])
    score = network.forward_head(final)[0, label_index]
    (gradient,) = torch.autograd.grad(score, features, allow_unused=True)
    if gradient is None:  # a transformer's tokens were copied into a map that leads nowhere
        return None
    heat = (gradient.relu() * features).sum(dim=1)[0].detach()  # (1, C, H, W) -> (H, W)
    heat -= heat.min()
    return (heat / (heat.max() + EPSILON)).numpy()


def _stage(network: torch.nn.Module, side_px: int) -> int:
    """Return the index of the deepest stage with at least `MIN_MAP_SIDE` places a side."""
    reductions = [stage["reduction"] for stage in network.feature_info]
    fine = [i for i, reduction in enumerate(reductions) if side_px // reduction >= MIN_MAP_SIDE]
    return (fine or range(len(reductions)))[-1]
