"""A picture file -> an upright RGB picture, or one sentence that says why not. Knows no faces.

`open_picture` reads what Pillow can, within limits: a file may be a stranger's, and is believed as
little as possible. What `decoding.py` is for videos.
"""

import math
import struct
import zlib
from io import BytesIO
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

# Limits of one picture file. 64 MB and 64 million pixels hold every phone's full-resolution photo
# but the 108-megapixel ones. A JPEG of 64 million pixels that EXIF turns adds 740 MB while it is
# opened, and takes 1.5 s of one core to its answer.
MAX_FILE_BYTES = 64_000_000
MAX_PIXELS = 64_000_000
MAX_SIDE_PX = 20_000
# Formats whose decoders are worth their risk: none of them runs a program, as EPS does.
FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM")
# What Pillow's decoders may raise on broken files, whatever the format.
DECODE_ERRORS = (
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    IndexError,
    EOFError,
    OverflowError,
    RuntimeError,
    struct.error,
    zlib.error,
)
# How often a file may be read through before its pixels are, and what a small one may be read.
MAX_READINGS, FREE_BYTES = 3, 1_000_000
# EXIF of a JPEG cannot be longer. Pillow's memory for it grows with the square of its length.
MAX_EXIF_BYTES = 65_536
# Largest value of the usual number ranges in modes of more than 8 bits a channel.
WHITE_LEVELS = (1.0, 255.0, 65535.0)


def open_picture(source: Path | str | bytes | Image.Image) -> Image.Image:
    """Return a picture as shown: RGB, EXIF orientation applied, the first frame of an animation.

    Transparency is dropped and palettes are resolved as `transformers` does it.

    Raises:
        ValueError: no picture, a broken one, or one over `MAX_FILE_BYTES`, `MAX_PIXELS` or
            `MAX_SIDE_PX`; one sentence with the remedy.
    """
    picture = source if isinstance(source, Image.Image) else _open_file(source)
    _check_size(picture)
    try:
        picture.load()
    except DECODE_ERRORS as error:
        raise ValueError(
            f"The {picture.format or 'picture'} file is broken or cut short and cannot be read; "
            "save or upload it again."
        ) from error
    return _to_rgb(_upright(picture))


def _open_file(source: Path | str | bytes) -> Image.Image:
    if not isinstance(source, bytes) and not Path(source).is_file():
        raise ValueError(f"There is no file {str(source)!r}; check the path.")
    size = len(source) if isinstance(source, bytes) else Path(source).stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"The file has {size / 1e6:.0f} MB and the limit is {MAX_FILE_BYTES / 1e6:.0f}; "
            "save it smaller."
        )
    file = _Metered(source if isinstance(source, bytes) else Path(source).read_bytes())
    try:
        picture = Image.open(file, formats=FORMATS)
        file.left = math.inf
        return picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"The picture has more than the {MAX_PIXELS / 1e6:.0f} million pixels allowed; "
            "save it smaller."
        ) from error
    except DECODE_ERRORS as error:
        raise ValueError(
            f"The file ({size} bytes) is no picture that can be read; the formats are "
            f"{', '.join(FORMATS)}."
        ) from error


class _Metered(BytesIO):
    """A file that can be read a few times over and no more, until `left` is set to infinity.

    All tags of a TIFF may point at the same bytes, and Pillow reads them anew for each tag: a file
    of 60 MB then fills any memory.
    """

    def __init__(self, content: bytes) -> None:
        super().__init__(content)
        self.left = MAX_READINGS * len(content) + FREE_BYTES

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.left -= len(data)
        if self.left < 0:
            raise ValueError("read too often")
        return data


def _check_size(picture: Image.Image) -> None:
    width, height = picture.size
    if width * height > MAX_PIXELS or max(width, height) > MAX_SIDE_PX:
        raise ValueError(
            f"The picture has {width} x {height} pixels; the limits are {MAX_PIXELS / 1e6:.0f} "
            f"million in all and {MAX_SIDE_PX} a side. Save it smaller."
        )
    if min(width, height) == 0:
        raise ValueError(f"The picture has {width} x {height} pixels: there is nothing to see.")


def _upright(picture: Image.Image) -> Image.Image:
    in_hexadecimal = picture.info.get("Raw profile type exif", "")
    if max(len(picture.info.get("exif", b"")), len(in_hexadecimal) // 2) > MAX_EXIF_BYTES:
        return picture
    try:
        return ImageOps.exif_transpose(picture)
    except DECODE_ERRORS:  # EXIF that cannot be read turns no picture
        return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode[0] not in "IF":
        return picture.convert("RGB")
    # Pillow would cut 16-bit, 32-bit and float values at 255: nearly every pixel turns white.
    values = np.array(picture, np.float32)
    # In place: the largest picture allowed takes 256 MB here.
    np.nan_to_num(values, copy=False, posinf=0, neginf=0)
    peak = float(values.max())
    values *= 255 / next((level for level in WHITE_LEVELS if peak <= level), peak)
    np.clip(values, 0, 255, out=values)
    return Image.fromarray(values.astype(np.uint8)).convert("RGB")
