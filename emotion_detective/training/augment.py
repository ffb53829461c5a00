"""Batch augmentation on the device: rotated, lit, blurred, compressed or partly covered faces.

Every image of a batch gets its own transformation, computed for the whole batch at once on its
device. The random numbers are the global ones, so that a seed set before an epoch repeats it.
Knows no network and no optimiser.
"""

import io
import math
from functools import cache

import torch
from PIL import Image
from timm.data.random_erasing import RandomErasing
from torch.nn.functional import affine_grid, avg_pool2d, grid_sample, interpolate, pad

from emotion_detective.core.classifier import GRAY_MEAN, GRAY_STD

# Limits at full strength. Published from-scratch recipes for FER2013 (Khaireddin & Chen 2021, arXiv
# 2105.03588) shift by twice as much and rotate by a third; users tilt their heads.
MAX_DEGREES, MAX_SHIFT, MAX_LOG_SCALE, MAX_LOG_STRETCH = 30, 0.1, 0.22, 0.1
# Fractions of all faces at full strength.
GLASSES, COARSE, COMPRESSED = 0.15, 0.3, 0.3
# Distances of the eyes from the middle and from the top, as fractions of the side: the mean image
# of FER2013's PublicTest is darkest at about (30, 35) and (65, 35) of 96 pixels.
EYE_ASIDE, EYE_DOWN = (0.16, 0.2), (0.33, 0.41)
# Sides in pixels of faces that are enlarged to the network's input. FER2013's have 48.
COARSE_SIDES = (24, 48)
JPEG_QUALITY = (15, 90)


def augment(images: torch.Tensor, strength: float, erasing: float) -> torch.Tensor:
    """Return `(N, 1, S, S)` faces in 0..1, each altered in its own way.

    `strength` scales how far faces rotate, move, grow, darken, blur or sharpen, and how many of
    them wear glasses, are coarse or are compressed; at 0 faces are only mirrored. `erasing`
    is the probability of blanking a rectangle (Zhong et al. 2017, arXiv 1708.04896). A face is
    never upside down: no camera does it, and its label might not hold.
    """
    images = wear_glasses(images, GLASSES * strength)
    images = relight(move(images, strength), strength)
    images = refocus(coarsen(images, COARSE * strength), strength)
    images = images + torch.randn_like(images) * draw(images, 0, 0.25 * strength) ** 2
    low, high = JPEG_QUALITY
    compressed = compress(images, draw(images, low, high))
    images = torch.where(draw(images, 0, 1) < COMPRESSED * strength, compressed, images)
    erase = RandomErasing(erasing, max_area=0.2, device=images.device)
    return erase(images.clamp(0, 1) - 0.5) + 0.5  # timm blanks with 0, which becomes gray


def draw(images: torch.Tensor, low: float, high: float) -> torch.Tensor:
    """Return a uniform random number for each image, `(N, 1, 1, 1)`."""
    return torch.empty(len(images), 1, 1, 1, device=images.device).uniform_(low, high)


def move(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Mirror half of the faces; rotate, stretch, scale and shift each."""
    most = (math.radians(MAX_DEGREES), MAX_LOG_SCALE, MAX_LOG_STRETCH, 2 * MAX_SHIFT, 2 * MAX_SHIFT)
    angle, scale, stretch, x, y = (
        strength * limit * draw(images, -1, 1).flatten() for limit in most
    )
    mirrored = torch.where(draw(images, 0, 1).flatten() < 0.5, -1.0, 1.0)
    across, down = mirrored * (scale + stretch).exp(), (scale - stretch).exp()
    return transform(images, angle, across, down, x, y)


def transform(
    images: torch.Tensor,
    angle: torch.Tensor,
    across: torch.Tensor | float = 1.0,
    down: torch.Tensor | float = 1.0,
    x: torch.Tensor | float = 0.0,
    y: torch.Tensor | float = 0.0,
) -> torch.Tensor:
    """Rotate `(N, 1, S, S)` images by `(N,)` radians, shrink and shift them.

    `across` and `down` are factors of shrinking, `x` and `y` shifts in half sides; all may be
    `(N,)`. Pixels beyond the border repeat it.
    """
    rows = (
        (across * angle.cos(), -across * angle.sin(), x + 0 * angle),
        (down * angle.sin(), down * angle.cos(), y + 0 * angle),
    )
    theta = torch.stack([torch.stack(row, dim=-1) for row in rows], dim=1)
    grid = affine_grid(theta, list(images.shape), align_corners=False)
    return grid_sample(images, grid, padding_mode="border", align_corners=False)


def relight(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Change gamma and contrast, take up to two thirds of the light, and darken one side."""
    images = images ** (0.5 * strength * draw(images, -1, 1)).exp()
    middle = images.mean(dim=(1, 2, 3), keepdim=True)
    images = middle + (images - middle) * (strength * draw(images, -0.6, 0.4)).exp()
    light = (strength * (0.25 - 1.35 * draw(images, 0, 1) ** 2)).exp()
    across = torch.linspace(-1, 1, images.shape[-1], device=images.device)
    side = draw(images, -1, 1) ** 3 * across + draw(images, -1, 1) ** 3 * across[:, None]
    return (images * light * (1 - 0.4 * strength * side)).clamp(0, 1)


def coarsen(images: torch.Tensor, fraction: float) -> torch.Tensor:
    """Make a fraction of the faces as coarse as small faces that are enlarged."""
    size = images.shape[-1]
    low, high = (min(side, size) for side in COARSE_SIDES)
    side = int(torch.randint(low, high + 1, ()))  # one for the batch is many times faster
    small = interpolate(images, size=side, mode="bilinear", antialias=True)
    coarse = interpolate(small, size=size, mode="bilinear")
    return torch.where(draw(images, 0, 1) < fraction, coarse, images)


def refocus(images: torch.Tensor, strength: float) -> torch.Tensor:
    """Blur or sharpen each face."""
    radius = round(images.shape[-1] / 64)
    blurred = avg_pool2d(images, 2 * radius + 1, stride=1, padding=radius, count_include_pad=False)
    return images + (images - blurred) * strength * draw(images, -1, 1.5)


def compress(images: torch.Tensor, quality: torch.Tensor) -> torch.Tensor:
    """Return `(N, 1, S, S)` gray images after JPEG at `(N, 1, 1, 1)` quality, 1 to 99.

    Only the quantised cosine transform of 8x8 blocks is computed, on any device: the coding of a
    file loses nothing.
    """
    size, steps = images.shape[-1], torch.arange(8, device=images.device)
    cosines = torch.cos(math.pi / 8 * (steps + 0.5) * steps[:, None]) / 2
    cosines[0] /= math.sqrt(2)
    scale = torch.where(quality < 50, 50 / quality, 2 - quality / 50)[..., None, None]
    table = (_read_table(images.device) * scale).round().clamp(1, 255) / 255  # (N, 1, 1, 1, 8, 8)
    padded = pad(images, (0, -size % 8) * 2, mode="replicate") - 128 / 255
    blocks = padded.unfold(2, 8, 8).unfold(3, 8, 8)  # (N, 1, S / 8, S / 8, 8, 8)
    coefficients = ((cosines @ blocks @ cosines.T) / table).round() * table
    blocks = cosines.T @ coefficients @ cosines + 128 / 255
    return blocks.transpose(3, 4).reshape(padded.shape)[..., :size, :size].clamp(0, 1)


@cache
def _read_table(device: torch.device) -> torch.Tensor:
    """Return the `(8, 8)` luminance table of JPEG (ITU-T T.81, Annex K), that of quality 50."""
    file = io.BytesIO()
    Image.new("L", (8, 8)).save(file, "JPEG", quality=50)
    return torch.tensor(Image.open(file).quantization[0], device=device).view(8, 8)


def wear_glasses(images: torch.Tensor, fraction: float) -> torch.Tensor:
    """Draw glasses on a fraction of `(N, 1, S, S)` faces in 0..1, where FER2013 has the eyes.

    Two ellipses with a dark rim and a lens that is mostly clear, a bridge and temples. All lengths
    are fractions of the side, drawn at random for each face.
    """
    pixels = (torch.arange(images.shape[-1], device=images.device) + 0.5) / images.shape[-1]
    middle, thickness = draw(images, 0.46, 0.54), draw(images, 0.015, 0.04)
    # 0 at the centre of either eye, above 0 outside of it
    aside = (pixels - middle).abs() - draw(images, *EYE_ASIDE)
    below = (pixels - draw(images, *EYE_DOWN)).movedim(-1, -2)
    width, height = draw(images, 0.11, 0.16), draw(images, 0.08, 0.13)
    radius = ((aside / width) ** 2 + (below / height) ** 2).sqrt()  # 1 on the rim
    rim = (radius - 1).abs() * height < thickness / 2
    bars = (below.abs() < thickness / 2) & (aside.abs() > width)  # bridge and temples
    lens = torch.where(radius < 1, 1 - draw(images, -1, 0.8).clamp(min=0), 1)
    worn = images * torch.where(rim | bars, draw(images, 0, 0.4), lens)
    return torch.where(draw(images, 0, 1) < fraction, worn, images)


def to_float(images: torch.Tensor, image_size: int) -> torch.Tensor:
    """Return `(N, 1, H, H)` uint8 as `(N, 1, S, S)` float32 in 0..1, antialiased."""
    floats = images.float().div_(255)
    if floats.shape[-1] == image_size:
        return floats
    return interpolate(floats, size=image_size, mode="bilinear", antialias=True)


def normalize(images: torch.Tensor) -> torch.Tensor:
    """Return `(N, 1, S, S)` in 0..1 as the network's input, `(N, 3, S, S)` channels last."""
    normalized = (images - GRAY_MEAN) / GRAY_STD
    return normalized.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
