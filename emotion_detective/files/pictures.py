"""A picture file -> an upright RGB picture, or one sentence that says why not. Knows no faces.

    opened = read_picture(path)            # opened.picture, opened.notice: "" or what is missing
    picture = open_picture(path)           # the picture alone

What Pillow and the decoders of `formats.py` can, within limits: a file may be a stranger's, and is
believed as little as possible. What `decoding.py` is for videos.
"""

import errno
import math
import os
import struct
import zlib
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, ImageOps, TiffImagePlugin

from emotion_detective.files import depth, formats

# Limits of one picture file. 64 MB and 64 million pixels hold every phone's full-resolution photo
# but the 108-megapixel ones. A JPEG of 64 million pixels that EXIF turns adds 740 MB while it is
# opened, and takes 1.5 s of one core to its answer.
MAX_FILE_BYTES = 64_000_000
MAX_PIXELS = 64_000_000
MAX_SIDE_PX = 20_000
# Its decoder takes 32 bytes and 0.6 microseconds a pixel.
MAX_JPEG2000_PIXELS = 24_000_000
# Of a TIFF that Pillow has no mode for, unpacked: 33 million pixels of three floats.
MAX_NUMBERS_BYTES = 400_000_000
# What decoders may raise on broken files, whatever the format.
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
# What a system refuses by a file's permissions or name.
REFUSALS = (errno.EACCES, errno.EPERM, errno.ENAMETOOLONG)
# Less of a cut file is no picture any more.
MIN_PERCENT_READ = 10
JPEG_END = b"\xff\xd9"
CUT = "The file is cut short or damaged"

Source = Path | str | bytes | BinaryIO | Image.Image | np.ndarray
SOURCES = (
    "a path, bytes, an open binary file, a PIL image, or a NumPy array of uint8 with the shape "
    "(H, W, 3) or (H, W)"
)


class _Refused(ValueError):
    """A sentence for the user, where a decoder's own errors are ValueErrors too."""


@dataclass(frozen=True)
class Opened:
    """A picture as shown, RGB, and one sentence on what of it could not be read, or ""."""

    picture: Image.Image
    notice: str = ""


def open_picture(source: Source) -> Image.Image:
    """Return a picture as shown, of a file that may be cut short; see `read_picture`."""
    return read_picture(source).picture


def read_picture(source: Source) -> Opened:
    """Return a picture as shown: RGB, EXIF orientation applied, the first frame of an animation.

    Transparency is dropped and palettes are resolved as `transformers` does it. Arrays hold gray
    or RGB. Of a file that is cut short there is what can be read, and a notice.

    Raises:
        TypeError: not one of `SOURCES`.
        ValueError: no picture, a broken one, or one over `MAX_FILE_BYTES`, `MAX_PIXELS` or
            `MAX_SIDE_PX`; one sentence with the remedy.
    """
    if isinstance(source, np.ndarray):
        return Opened(_from_array(source))
    if isinstance(source, Image.Image):
        _check_size(source.size)
        try:
            source.load()
        except (AssertionError, *DECODE_ERRORS) as error:  # it asserts that the file is open
            file = getattr(source, "fp", None)
            if file is None or file.closed:
                raise ValueError(
                    "The picture's file is closed before it was read: open it again, and keep it "
                    "open."
                ) from error
            return _decode(_content(file))
        return Opened(_to_rgb(_upright(source, source)))
    return _decode(_content(source))


def _content(source: Path | str | bytes | BinaryIO) -> bytes:
    """Return a file's bytes, within the limit."""
    if isinstance(source, str | os.PathLike):
        return _read_path(Path(source), str(source))
    if hasattr(source, "read") and not isinstance(source, type):
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
        if hasattr(file, "seek") and getattr(file, "seekable", lambda: True)():
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


def _from_array(values: np.ndarray) -> Image.Image:
    is_gray, is_color = values.ndim == 2, values.ndim == 3 and values.shape[-1] == 3
    if values.dtype != np.uint8 or not (is_gray or is_color):
        raise TypeError(
            f"A picture is {SOURCES}, not an array of {values.dtype} with the shape {values.shape}."
        )
    _check_size(values.shape[1::-1])
    return Image.fromarray(values).convert("RGB")


def _decode(content: bytes) -> Opened:
    """Return the picture of a file, by the decoder that its first bytes name."""
    if not content:
        raise ValueError("The file is empty; save or upload it again.")
    head = content[: formats.HEAD_BYTES]
    if name := formats.unread_format(head):
        raise _unread(name)
    try:
        return _decode_whole(content, head)
    except _Refused:
        raise
    except ValueError:
        missing = formats.missing_bytes(content)
        percent = 100 * len(content) // (len(content) + missing)
        if not missing or percent < MIN_PERCENT_READ or len(content) + missing > MAX_FILE_BYTES:
            raise
    # These decoders refuse a file that ends early; of one that ends in zeros they read the upper
    # part, and leave gray below.
    opened = _decode_whole(content + bytes(missing), head)
    return Opened(opened.picture, f"{CUT}: only {percent}% of it is there.")


def _unread(name: str) -> ValueError:
    if name == "a video":
        return _Refused(
            "The file is a video, not a picture; save one of its frames as JPEG or PNG."
        )
    if name in formats.ARCHIVES.values():
        return _Refused(f"The file is {name}, not a picture; unpack it first.")
    return _Refused(f"The file is {name}, which is not read here; save it as JPEG or PNG.")


def _decode_whole(content: bytes, head: bytes) -> Opened:
    try:
        if formats.is_heif(head):
            return Opened(_to_rgb(formats.open_heif(content, _check_size)))
        if formats.is_jxl(head):
            values = depth.without_alpha(formats.decode_jxl(content, _check_size))
            return Opened(_to_rgb(depth.to_8_bits(values)))
    except _Refused:
        raise
    except DECODE_ERRORS as error:
        raise _broken("HEIC" if formats.is_heif(head) else "JPEG XL") from error
    return _by_pillow(content)


def _by_pillow(content: bytes) -> Opened:
    try:
        picture = _open(content)
    except ValueError:
        if formats.is_tiff(content) and (picture := _tiff_of_numbers(content)):
            return Opened(_to_rgb(picture))
        raise
    if formats.is_camera_raw(getattr(picture, "tag_v2", {})):
        raise _unread(formats.CAMERA)
    _check_size(picture.size, MAX_JPEG2000_PIXELS if picture.format == "JPEG2000" else MAX_PIXELS)
    notice = ""
    try:
        picture.load()
    except DECODE_ERRORS as error:
        picture, notice = _what_is_there(picture, content, error)
    deep = depth.all_bits(picture, content)
    shown = picture if deep is None else depth.to_8_bits(deep)
    if depth.is_negative(picture):
        shown = ImageOps.invert(_to_rgb(shown))
    return Opened(_to_rgb(_upright(shown, picture)), notice)


def _open(content: bytes) -> ImageFile.ImageFile:
    file = _Metered(content)
    try:
        picture = Image.open(file, formats=formats.PILLOW_FORMATS)
        file.left = math.inf
        return picture
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise ValueError(
            f"The picture has more than the {MAX_PIXELS / 1e6:.0f} million pixels allowed; "
            "save it smaller."
        ) from error
    except DECODE_ERRORS as error:
        if formats.starts_a_picture(content[: formats.HEAD_BYTES]):
            variety = content.startswith(b"\xff\xd8\xff") and formats.jpeg_variety(content)
            raise (_unread(variety) if variety else _broken(None)) from error
        raise ValueError(
            f"The file ({len(content)} bytes) is no picture that can be read; the formats are "
            f"{formats.NAMES}."
        ) from error


def _tiff_of_numbers(content: bytes) -> Image.Image | None:
    """Return a TIFF that Pillow has no mode for, such as colours in floats; None if broken."""
    file = _Metered(content)
    try:
        tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
        file.seek(tags.next)
        tags.load(file)
        size = tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
        meaning, numbers = tags.get(depth.MEANING), tags.get(depth.NUMBERS, 1)
        bits = numbers * max(tags.get(ExifTags.Base.BitsPerSample, (1,)))
        _check_size(size, min(MAX_PIXELS, 8 * MAX_NUMBERS_BYTES // max(8, bits)))
    except _Refused:
        raise
    except (LookupError, *DECODE_ERRORS):
        return None
    if formats.is_camera_raw(tags):
        raise _unread(formats.CAMERA)
    if meaning not in (depth.BLACK_IS_0, depth.RGB) or numbers > 4:
        raise _unread("a TIFF picture in colours that only few programs know")
    values = depth.decode(content, "TIFF", size)
    if values is None:
        return None
    picture = depth.to_8_bits(values)
    picture.getexif()[ExifTags.Base.Orientation] = tags.get(ExifTags.Base.Orientation, 1)
    return ImageOps.exif_transpose(picture)


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


def _what_is_there(
    picture: ImageFile.ImageFile, content: bytes, error: Exception
) -> tuple[Image.Image, str]:
    """Return what can be read of a file that is cut short, and a sentence that says so."""
    picture.tile = []  # nothing more to decode: Pillow then shows what it has
    try:
        percent = _percent_of_rows(picture)
        if picture.format in ("JPEG", "MPO"):
            # Given an end, a JPEG is decoded as far as it goes; a progressive one is not without.
            picture = _open(content + JPEG_END)
            picture.load()
    except DECODE_ERRORS:
        raise _broken(picture.format) from error
    if not percent and picture.info.get("progressive"):
        low, high = picture.convert("L").getextrema()
        percent = 100 * (low < high)
    if percent < MIN_PERCENT_READ:
        raise _broken(picture.format) from error
    return picture, (
        f"{CUT}: only {percent}% of the picture could be read."
        if percent < 100
        else f"{CUT}: some of the picture may be missing."
    )


def _percent_of_rows(picture: Image.Image) -> int:
    """Return how many of a picture's rows hold anything, rounded down."""
    return int(100 * np.asarray(picture).reshape(picture.height, -1).any(axis=1).mean())


def _broken(name: str | None) -> ValueError:
    return ValueError(
        f"The {name or 'picture'} file is broken or cut short and cannot be read; save or upload "
        "it again."
    )


def _check_bytes(size: int) -> None:
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"The file has {size / 1e6:.0f} MB and the limit is {MAX_FILE_BYTES / 1e6:.0f}; "
            "save it smaller."
        )


def _check_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> None:
    width, height = size
    if width * height > max_pixels or max(width, height) > MAX_SIDE_PX:
        raise _Refused(
            f"The picture has {width} x {height} pixels; the limits are {max_pixels / 1e6:.0f} "
            f"million in all and {MAX_SIDE_PX} a side. Save it smaller."
        )
    if min(width, height) == 0:
        raise _Refused(f"The picture has {width} x {height} pixels: there is nothing to see.")


def _upright(picture: Image.Image, stored: Image.Image) -> Image.Image:
    """Turn a picture as the EXIF of the stored one says; they may be the same."""
    in_hexadecimal = stored.info.get("Raw profile type exif", "")
    exif = stored.info.get("exif") or b""  # None where pillow-heif opened a picture without
    if max(len(exif), len(in_hexadecimal) // 2) > MAX_EXIF_BYTES:
        return picture
    try:
        if picture is not stored and (turn := stored.getexif().get(ExifTags.Base.Orientation)):
            picture.getexif()[ExifTags.Base.Orientation] = turn
        return ImageOps.exif_transpose(picture)
    except DECODE_ERRORS:  # EXIF that cannot be read turns no picture
        return picture


def _to_rgb(picture: Image.Image) -> Image.Image:
    if picture.mode[0] in "IF":
        return depth.to_8_bits(np.array(picture)).convert("RGB")
    if picture.mode in ("RGBa", "La"):  # premultiplied, of which Pillow makes no RGB at once
        picture = picture.convert(picture.mode.upper())
    return picture.convert("RGB")
