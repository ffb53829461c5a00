"""Pictures of more than 8 bits a number -> pictures of 8, as bright as they were meant.

    values = depth.all_bits(picture, content)     # where Pillow keeps too little; else None
    shown = depth.to_8_bits(values)

Cameras and scanners keep 10 or 12 bits in files of 16, science keeps floats. Used by `pictures.py`,
which checks the limits first.
"""

import numpy as np
from PIL import ExifTags, Image

# Largest value of the usual number ranges in modes of more than 8 bits a channel: 1 of floats, then
# 8, 10, 12, 14 and 16 bits, which cameras and scanners keep in files of 16.
WHITE_LEVELS = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
# Floats from 0 to 1 that were sharpened or hold highlights go beyond 1.
MAX_FLOAT_HIGHLIGHT, MAX_SAMPLES = 8.0, 1_000_000
# Of 16 bits a colour Pillow keeps the upper 8: too little where they never pass this.
MAX_LOST_LEVEL = 63
# Where headers state the bits of a channel.
PNG_BITS, JPEG2000_SIZES, JPEG2000_BITS = 24, b"\xff\x4f\xff\x51", 42
# Tags of TIFF: what the numbers mean, how many a pixel has, whether each colour lies by itself, and
# their type.
MEANING, NUMBERS, PLANES, NUMBER_TYPE = 262, 277, 284, 339
WHITE_IS_0, BLACK_IS_0, RGB = 0, 1, 2


def all_bits(picture: Image.Image, content: bytes) -> np.ndarray | None:
    """Return all bits of a picture's numbers where Pillow's own hold too little; else None."""
    if _is_unsigned_32(picture) and picture.mode == "I":
        return np.array(picture).view(np.uint32)
    if picture.mode not in ("LA", "RGB", "RGBA"):
        return None
    if _bits_a_channel(picture, content) <= 8:
        return None
    peak = max(high for _, high in picture.convert("RGB").getextrema())
    # Of JPEG 2000 Pillow rounds the whitest values up to black.
    is_right = picture.format != "JPEG2000" and not _is_planar(picture)
    if peak > MAX_LOST_LEVEL and is_right:
        return None
    return decode(content, picture.format, picture.size)


def _bits_a_channel(picture: Image.Image, content: bytes) -> int:
    """Return the bits that a PNG, TIFF, JPEG 2000 or PPM file has for each colour, 8 of others."""
    if picture.format == "PNG":
        return content[PNG_BITS]
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(ExifTags.Base.BitsPerSample, (1,)))
    if picture.format == "JPEG2000":
        return 1 + (content[content.find(JPEG2000_SIZES) + JPEG2000_BITS] & 0x7F)
    if picture.format == "PPM" and content.startswith(b"P6"):
        return 16 if len(content) > 6 * picture.width * picture.height else 8
    return 8


def decode(content: bytes, suffix: str, size: tuple[int, int]) -> np.ndarray | None:
    """Return all bits of a picture's numbers, `(H, W)` or `(H, W, 3)`; None if they can't be had.

    Args:
        content: a file whose limits were checked.
        suffix: "PNG", "TIFF", "JPEG2000" or "PPM".
        size: its width and height.
    """
    import imagecodecs

    decoder = {
        "PNG": imagecodecs.png_decode,
        "TIFF": imagecodecs.tiff_decode,
        "JPEG2000": imagecodecs.jpeg2k_decode,
        "PPM": lambda content: _ppm_colors(content, size),
    }[suffix]
    try:
        values = decoder(content)
    except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError):
        # Each knows less than Pillow in places, and fails in ways of its own on broken files.
        return None
    if values.ndim == 3 and values.shape[:0:-1] == size:  # one plane a colour
        values = np.moveaxis(values, 0, -1)
    return without_alpha(values) if values.shape[1::-1] == size else None


def _ppm_colors(content: bytes, size: tuple[int, int]) -> np.ndarray:
    """Return the colours at the end of a PPM of 16 bits."""
    count = 3 * size[0] * size[1]
    if not content.startswith(b"P6"):
        raise ValueError("no binary PPM")
    return np.frombuffer(content[-2 * count :], ">u2").reshape(size[1], size[0], 3)


def without_alpha(values: np.ndarray) -> np.ndarray:
    """Return `(H, W)` of gray and `(H, W, 3)` of colours, whatever follows them."""
    if values.ndim == 2:
        return values
    return values[..., 0] if values.shape[2] < 3 else values[..., :3]


def _is_planar(picture: Image.Image) -> bool:
    """True for a TIFF that keeps each colour by itself: of 16 bits Pillow mixes the bytes up."""
    return getattr(picture, "tag_v2", {}).get(PLANES) == 2


def _is_unsigned_32(picture: Image.Image) -> bool:
    """True for a TIFF of 32 bits without a sign, which Pillow takes for one with."""
    tags = getattr(picture, "tag_v2", {})
    is_32 = tags.get(ExifTags.Base.BitsPerSample) == (32,)
    return is_32 and tags.get(NUMBER_TYPE, (1,)) == (1,)


def is_negative(picture: Image.Image) -> bool:
    """True for a TIFF of more than 8 bits whose 0 is white: Pillow inverts only those of 8."""
    tags = getattr(picture, "tag_v2", {})
    deep = max(tags.get(ExifTags.Base.BitsPerSample, (1,))) > 8
    return deep and tags.get(MEANING) == WHITE_IS_0


def to_8_bits(values: np.ndarray) -> Image.Image:
    """Return `(H, W)` or `(H, W, 3)` numbers of any range as a picture; 0 stays black.

    Pillow would cut 16-bit, 32-bit and float values at 255: nearly every pixel turns white.
    """
    if values.dtype == np.uint8:
        return Image.fromarray(values)
    is_float = values.dtype.kind == "f"
    values = values.astype(np.float32, copy=False)  # no caller keeps them
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
    """Tell highlights, such as the sun's in a picture of high dynamic range, from another range."""
    some = values.ravel()[:: 1 + values.size // MAX_SAMPLES]
    return bool(np.quantile(some, 0.99) <= 1)
