"""A picture's pixels as they are stored -> as they are shown: 8 bits, RGB, upright.

Cameras and scanners keep 10 or 12 bits in files of 16, science keeps floats: they are shown as
bright as they were meant.
"""

import numpy as np
from PIL import ExifTags, Image, ImageOps

from emotion_detective.files.decoders import Decoded

# Largest value of the usual ranges of numbers of more than 8 bits: 1 of floats, then 8, 10, 12, 14
# and 16 bits, which cameras and scanners keep in files of 16.
WHITE_LEVELS = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
# Floats from 0 to 1 that were sharpened or hold highlights go beyond 1.
MAX_FLOAT_HIGHLIGHT, MAX_SAMPLES = 8.0, 1_000_000


def upright(decoded: Decoded) -> Image.Image:
    """Return a decoded picture as shown; one that is RGB and upright already is returned itself."""
    picture = _to_rgb(decoded.pixels)
    if decoded.is_negative:
        picture = ImageOps.invert(picture)
    if decoded.orientation == 1:
        return picture
    picture.getexif()[ExifTags.Base.Orientation] = decoded.orientation
    return ImageOps.exif_transpose(picture)


def _to_rgb(pixels: Image.Image | np.ndarray) -> Image.Image:
    if isinstance(pixels, np.ndarray) or pixels.mode[0] in "IF":
        pixels = _to_8_bits(np.array(pixels))
    if pixels.mode in ("RGBa", "La"):  # premultiplied, of which Pillow makes no RGB at once
        pixels = pixels.convert(pixels.mode.upper())
    return pixels if pixels.mode == "RGB" else pixels.convert("RGB")


def _to_8_bits(values: np.ndarray) -> Image.Image:
    """Return `(H, W)` or `(H, W, 3)` numbers of any range as a picture; 0 stays black.

    Pillow would cut 16-bit, 32-bit and float values at 255: nearly every pixel turns white.
    """
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    is_float = values.dtype.kind == "f"
    values = values.astype(np.float32, copy=False)
    # In place: the largest picture allowed takes 256 MB here, 768 MB in colour.
    np.nan_to_num(values, copy=False, posinf=0, neginf=0)
    peak = float(values.max())
    if is_float and (peak <= MAX_FLOAT_HIGHLIGHT or _nearly_all_up_to_1(values)):
        white = 1.0
    else:
        white = next((level for level in WHITE_LEVELS if peak <= level), peak)
    values *= 255 / white
    np.clip(values, 0, 255, out=values)
    return Image.fromarray(values.astype(np.uint8))


def _nearly_all_up_to_1(values: np.ndarray) -> bool:
    """Tell highlights, such as the sun in a picture of high dynamic range, from another range."""
    some = values.ravel()[:: 1 + values.size // MAX_SAMPLES]
    return bool(np.quantile(some, 0.99) <= 1)
