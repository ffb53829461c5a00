"""The door of the room: a picture, a file or an array -> an upright RGB picture, or one sentence.

    opened = read_picture(path)            # opened.picture, opened.notice: "" or what is missing

A file may be a stranger's, and is believed as little as possible.
"""

import errno
import os
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageOps

from emotion_detective.files.decoders import CUT, MAX_FILE_BYTES, decode, load
from emotion_detective.files.formats import recognize

# What a system refuses by a file's permissions or name.
REFUSALS = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
# Largest value of the usual ranges of numbers of more than 8 bits: 1 of floats, then 8, 10, 12, 14
# and 16 bits, which cameras and scanners keep in files of 16.
WHITE_LEVELS = (1.0, 255.0, 1023.0, 4095.0, 16383.0, 65535.0)
# Floats from 0 to 1 go beyond 1 where they were sharpened, and far beyond in a few highlights.
MAX_FLOAT_HIGHLIGHT, MAX_SAMPLES = 8.0, 1_000_000

Source = Path | str | bytes | BinaryIO | Image.Image | np.ndarray
SOURCES = (
    "a path, bytes, an open binary file, a PIL image, or a NumPy array of uint8 with the shape "
    "(H, W, 3) or (H, W)"
)


@dataclass(frozen=True)
class Opened:
    """A picture as shown, RGB, and one sentence on what of its file is not there, or ""."""

    picture: Image.Image
    notice: str = ""

    @property
    def is_cut(self) -> bool:
        """True where the file is cut short; another notice is of an animation."""
        return self.notice.startswith(CUT)


def read_picture(source: Source) -> Opened:
    """Return a picture as shown: RGB, EXIF orientation applied, the first frame of an animation.

    Transparency is dropped and palettes are resolved as `transformers` does it. Arrays hold gray
    or RGB. Of a file that is cut short there is what can be read, with a notice. An open picture
    that is RGB and upright is returned itself.

    Raises:
        TypeError: not one of `SOURCES`.
    """
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        decoded = load(source)
    else:
        content = _read_bytes(source)
        decoded = decode(content, recognize(content))
    picture = _to_rgb(decoded.pixels)
    if decoded.is_negative:
        picture = ImageOps.invert(picture)
    if decoded.orientation != 1:
        picture.getexif()[ExifTags.Base.Orientation] = decoded.orientation
        picture = ImageOps.exif_transpose(picture)
    return Opened(picture, decoded.notice)


def _from_array(values: np.ndarray) -> Image.Image:
    is_gray, is_color = values.ndim == 2, values.ndim == 3 and values.shape[-1] == 3
    if values.dtype != np.uint8 or not (is_gray or is_color):
        raise TypeError(
            f"A picture is {SOURCES}, not an array of {values.dtype} with the shape {values.shape}."
        )
    return Image.fromarray(values)


def _read_bytes(source: Path | str | bytes | BinaryIO) -> bytes:
    """Return a file's bytes, within the limit."""
    if isinstance(source, str | os.PathLike):
        return _read_path(Path(source), str(source))
    if hasattr(source, "read"):
        source = _read_open(source)
    if not isinstance(source, bytes | bytearray | memoryview):
        raise TypeError(f"A picture is {SOURCES}, not {type(source).__name__}.")
    _check_bytes(len(source))
    return bytes(source)


def _read_path(path: Path, name: str) -> bytes:
    try:
        if path.is_dir():
            raise ValueError(f"{name!r} is a folder; name a picture file.")
        if not path.is_file():
            if "://" in name:
                raise ValueError(f"{name!r} is an address; download it, and name the file.")
            raise ValueError(f"There is no file {name!r}; check the path.")
        _check_bytes(path.stat().st_size)
        return path.read_bytes()
    except OSError as error:
        if error.errno not in REFUSALS:  # a disk that fails is not the file's fault
            raise
        raise ValueError(
            f"The file {name!r} cannot be read ({error.strerror}); check its name and permissions."
        ) from error


def _read_open(file: BinaryIO) -> bytes:
    """Return what an open file holds, from its start: what was just written too."""
    try:
        with suppress(AttributeError, OSError):  # a pipe cannot go back
            file.seek(0)
        content = file.read(MAX_FILE_BYTES + 1)
    except (OSError, ValueError) as error:
        raise ValueError(
            f"The open file cannot be read ({error}): open it anew, with open(path, 'rb')."
        ) from error
    except (LookupError, TypeError) as error:  # it reads something else, as an archive does
        raise TypeError(f"A picture is {SOURCES}, not {type(file).__name__}.") from error
    if isinstance(content, str):
        raise TypeError(f"A picture is {SOURCES}, not a file open as text.")
    return content


def _check_bytes(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"The file has {size / 1e6:.0f} MB and the limit is {MAX_FILE_BYTES / 1e6:.0f}; "
            "save it smaller."
        )


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
    peak, some = float(values.max()), values.ravel()[:: 1 + values.size // MAX_SAMPLES]
    if is_float and np.quantile(some, 0.99) <= MAX_FLOAT_HIGHLIGHT:
        white = 1.0
    else:
        white = next((level for level in WHITE_LEVELS if peak <= level), peak)
    values *= 255 / white
    np.clip(values, 0, 255, out=values)
    return Image.fromarray(values.astype(np.uint8))
