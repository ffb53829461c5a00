"""What the model saw of a face, and where it looked: LayerCAM by torchcam.

LayerCAM (Jiang et al. 2021, IEEE TIP) weighs each place of a feature map by its own gradient, so it
also reads the finer maps of earlier stages. Grad-CAM's usual last stage has a stride of 32: on a
64-pixel face it would be a map of 2 x 2. Knows no Gradio.
"""

import copy
from itertools import chain

import numpy as np
import torch
from PIL import Image
from torchcam.methods import LayerCAM

from emotion_detective.inference.model import LABELS, Classifier

# The deepest stage that still tells an eye from the other: at least this many places a side.
MIN_MAP_SIDE = 7
# Side of the pictures handed out: the model's own input is too small to look at.
SHOWN_PX = 256
HEAT_SHARE = 0.55  # of the hottest place's colour
# From transparent over orange to yellow, dark to light: readable in gray and without red and green.
HEAT_COLORS = ((68, 1, 84), (213, 94, 0), (255, 240, 90))


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
    """Return a float32 `(H, H)` map between 0 and 1, None where the stage gives none."""
    batch = classifier.preprocess([face])
    network = _twin(classifier.network)
    with LayerCAM(network, _stage(network, batch.shape[-1])) as extractor:
        maps = extractor(label_index, network(batch))
    heat = maps[0][0].float().numpy()
    is_map = heat.ndim == 2 and heat.shape[0] == heat.shape[1]  # of tokens or of channels last not
    return heat if is_map else None


def _twin(network: torch.nn.Module) -> torch.nn.Module:
    """Return a network with the same tensors but hooks of its own.

    LayerCAM hooks into the network that it looks at; the one that answers other visitors at the
    same moment must not notice.
    """
    shared = {id(tensor): tensor for tensor in chain(network.parameters(), network.buffers())}
    return copy.deepcopy(network, memo=shared)


def _stage(network: torch.nn.Module, side_px: int) -> str:
    fine = [f for f in network.feature_info if side_px // f["reduction"] >= MIN_MAP_SIDE]
    return (fine or network.feature_info)[-1]["module"]
