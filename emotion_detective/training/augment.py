"""Batch augmentation on the device: faces as they are in, faces as they might be out.

Every picture of a batch gets its own transformation, computed for the whole batch at once by
kornia, on whatever device the batch is on. The random numbers are torch's global ones, so that a
seed set before an epoch repeats it. This module knows no network and no optimiser.
"""

import kornia.augmentation as K
import torch
from torch import nn
from torch.nn.functional import interpolate

from emotion_detective.inference.model import GRAY_MEAN, GRAY_STD

# Of all faces, at full strength.
GLASSES_SHARE = 0.1
# From the middle and from the top to the eyes: about where the mean of FER2013's PublicTest images
# is darkest, (30, 35) and (65, 35) of 96 pixels.
EYE_ASIDE, EYE_DOWN = (0.16, 0.2), (0.33, 0.41)


def build_augmentation(strength: float, erasing: float) -> nn.Module:
    """Return a module from `(N, 1, S, S)` floats in 0..1 to the same, augmented.

    `strength` scales rotation, shift, scale, light and the share of faces with glasses, 1.0 being
    the published from-scratch recipes for FER2013 (Khaireddin & Chen 2021, arXiv 2105.03588) at
    half their shift and twice their rotation, as users tilt their heads; `erasing` is the
    probability of blanking a rectangle (Zhong et al. 2017, arXiv 1708.04896). A face is never
    turned upside down: no user's camera does it and the label would not survive it.
    """
    geometry_and_light = K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.RandomAffine(
            degrees=20 * strength,
            translate=(0.1 * strength, 0.1 * strength),
            scale=(1 - 0.2 * strength, 1 + 0.2 * strength),
            padding_mode="border",
            p=1.0,
        ),
        K.RandomBrightness((1 - 0.3 * strength, 1 + 0.3 * strength), p=1.0),
        K.RandomContrast((1 - 0.4 * strength, 1 + 0.4 * strength), p=1.0),
        K.RandomErasing(p=erasing, scale=(0.02, 0.2), ratio=(0.3, 3.3), value=0.5),
        data_keys=["input"],
    )
    return nn.Sequential(Glasses(GLASSES_SHARE * strength), geometry_and_light)


class Glasses(nn.Module):
    """Draws glasses on a share of `(N, 1, S, S)` faces in 0..1, where FER2013 has the eyes.

    Two ellipses with a dark rim and a lens, clear more often than not, a bridge and temples. All
    lengths are shares of the picture's side; each is drawn from a range of its own for each face.
    """

    def __init__(self, share: float) -> None:
        super().__init__()
        self.share = share

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        def draw(low: float, high: float) -> torch.Tensor:
            return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high)

        pixels = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
        middle, thickness = draw(0.46, 0.54), draw(0.015, 0.04)
        aside = (pixels - middle).abs() - draw(*EYE_ASIDE)  # 0 at either eye, above outside of it
        below = (pixels - draw(*EYE_DOWN)).movedim(-1, -2)
        width, height = draw(0.11, 0.16), draw(0.08, 0.13)
        radius = ((aside / width) ** 2 + (below / height) ** 2).sqrt()  # 1 on the rim
        rim = (radius - 1).abs() * height < thickness / 2
        bars = (below.abs() < thickness / 2) & (aside.abs() > width)  # bridge and temples
        lens = torch.where(radius < 1, 1 - draw(-1, 0.8).clamp(min=0), 1)
        worn = images * torch.where(rim | bars, draw(0, 0.4), lens)
        return torch.where(draw(0, 1) < self.share, worn, images)


def to_float(images: torch.Tensor, image_size: int) -> torch.Tensor:
    """Return `(N, 1, H, W)` uint8 as `(N, 1, S, S)` float32 in 0..1, antialiased."""
    floats = images.float().div_(255)
    if floats.shape[-1] == image_size:
        return floats
    return interpolate(floats, size=image_size, mode="bilinear", antialias=True)


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Return `(N, 1, S, S)` in 0..1 as the network's `(N, 3, S, S)` input, channels last."""
    normalized = (images - GRAY_MEAN) / GRAY_STD
    return normalized.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
