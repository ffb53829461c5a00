"""Batch augmentation on the device: uint8 faces in, normalised network input out.

Every picture of a batch gets its own transformation, computed for the whole batch at once by
kornia, on whatever device the batch is on. The random numbers are torch's global ones, so that a
seed set before an epoch repeats it. This module knows no network and no optimiser.
"""

import kornia.augmentation as K
import torch
from torch import nn
from torch.nn.functional import interpolate

from emotion_detective.model import GRAY_MEAN, GRAY_STD


def build_augmentation(strength: float, erasing: float) -> nn.Module:
    """Return a module from `(N, 1, S, S)` floats in 0..1 to the same, augmented.

    `strength` scales rotation, shift, scale and light, 1.0 being the published from-scratch recipes
    for FER2013 (Khaireddin & Chen 2021, arXiv 2105.03588) at half their shift; `erasing` is the
    probability of blanking a rectangle (Zhong et al. 2017, arXiv 1708.04896). A face is never
    turned upside down: no user's camera does it and the label would not survive it.
    """
    return K.AugmentationSequential(
        K.RandomHorizontalFlip(p=0.5),
        K.RandomAffine(
            degrees=15 * strength,
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
