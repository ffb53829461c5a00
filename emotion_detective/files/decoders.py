"""A picture file's bytes -> its pixels as they are stored, by the decoder of its format.

    decoded = decode(content, formats.recognize(content))

Pillow reads most formats, pillow-heif HEIC, imagecodecs JPEG XL and what has more than 8 bits.
Sizes are known before a pixel is decoded, so that the limits hold. Nothing registers itself with
Pillow, and each library is loaded for its first file only.
"""

import math
import struct
import zlib
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO

import numpy as np
from PIL import ExifTags, Image, ImageFile, TiffImagePlugin

from emotion_detective.files.formats import CAMERA, HEIC, JXL, jxl_size, missing_bytes, refuse

# They hold every phone's full-resolution photo but the 108-megapixel ones. A JPEG of 64 million
# pixels that EXIF rotates takes 740 MB while it is opened.
MAX_FILE_BYTES = MAX_PIXELS = 64_000_000
MAX_SIDE_PX = 20_000
# Its decoder takes 32 bytes and 0.6 microseconds a pixel.
MAX_JPEG2000_PIXELS = 24_000_000
# Of a TIFF that Pillow has no mode for, unpacked: 33 million pixels of three floats.
MAX_NUMBERS_BYTES = 400_000_000
# What decoders may raise on broken files, whatever the format.
DECODE_ERRORS = (
    *(OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError),
    *(RuntimeError, struct.error, zlib.error),
)
# How often a file may be read through before its pixels are, and what a small one may be read.
MAX_READINGS, FREE_BYTES = 3, 1_000_000
# EXIF of a JPEG cannot be longer. Pillow's memory for it grows with the square of its length.
MAX_EXIF_BYTES = 65_536
# Less of a cut file is no picture any more.
MIN_PERCENT_READ = 10
JPEG_END = b"\xff\xd9"
CUT = "The file is cut short or damaged"
ANIMATED = ("GIF", "WEBP", "PNG", "AVIF")
ANIMATION = "The file is an animation: only its first picture is read."
# Modes of pictures whose numbers may have more than 8 bits in the file, and keep fewer in Pillow.
DEEP_MODES = ("I", "I;16", "I;16B", "F", "LA", "RGB", "RGBA")
# Where headers state the bits of a channel.
PNG_BITS, JPEG2000_SIZES, JPEG2000_BITS = 24, b"\xff\x4f\xff\x51", 42
# Tags of TIFF: a preview where the picture should be, what the numbers mean, how many a pixel has,
# pictures besides it, DNG's version.
PREVIEW, MEANING, NUMBERS, OTHER_PICTURES, DNG = 254, 262, 277, 330, 50706
WHITE_IS_0, BLACK_IS_0, RGB = 0, 1, 2


class Refused(ValueError):
    """A sentence for the user, where a decoder's own errors are ValueErrors too."""


@dataclass(frozen=True)
class Decoded:
    """A picture as it is stored: of any mode, or `(H, W)` or `(H, W, 3)` numbers of any range.

    `orientation` is EXIF's, 1 of an upright picture; white is 0 where it `is_negative`; `notice` is
    a sentence on what is not shown, or "".
    """

    pixels: Image.Image | np.ndarray
    orientation: int = 1
    is_negative: bool = False
    notice: str = ""


def decode(content: bytes, name: str) -> Decoded:
    """Return a file's picture; of one that is cut short what there is, and a notice."""
    try:
        return _decode_whole(content, name)
    except Refused:
        raise
    except DECODE_ERRORS as error:
        whole = len(content) + missing_bytes(content, name)
        percent = 100 * len(content) // whole
        if MIN_PERCENT_READ <= percent < 100 and whole <= MAX_FILE_BYTES:
            # These decoders refuse a file that ends early; of one that ends in zeros they read the
            # upper part, and leave gray below.
            decoded = decode(content.ljust(whole, b"\0"), name)
            return replace(decoded, notice=f"{CUT}: only {percent}% of it is there.")
        raise ValueError(
            f"The {name} file is broken, cut short or of a rare kind, and cannot be read; save or "
            "upload it again, as JPEG or PNG."
        ) from error


def load(picture: Image.Image) -> Decoded:
    """Return a picture that somebody has opened."""
    _check_size(picture.size)
    try:
        picture.load()
    except (AssertionError, *DECODE_ERRORS) as error:  # it asserts that the file is open
        raise ValueError(
            "The picture's file is closed, broken or cut short: open it again and keep it open, or "
            "hand over its path, of which what is there is read."
        ) from error
    return Decoded(picture, _orientation(picture))


def _check_size(size: tuple[int, int], max_pixels: int = MAX_PIXELS) -> None:
    width, height = size
    is_large = width * height > max_pixels or max(width, height) > MAX_SIDE_PX
    if is_large or min(width, height) <= 0:
        raise Refused(
            f"The picture has {width} x {height} pixels; the limits are 1 and {MAX_SIDE_PX} a "
            f"side, and {max_pixels / 1e6:.0f} million in all. Save it in another size."
        )


def _decode_whole(content: bytes, name: str) -> Decoded:
    if name == HEIC:
        return Decoded(_decode_heif(content))
    if name == JXL:
        return Decoded(_decode_jxl(content))
    return _by_pillow(content, name)


def _decode_heif(content: bytes) -> Image.Image:
    """Return a HEIC file's main picture, upright: libheif turns it, and its EXIF says so no more.

    Deep colours become 8 bits.
    """
    import pillow_heif

    opened = pillow_heif.open_heif(content, convert_hdr_to_8bit=True)
    _check_size(opened.size)
    picture = opened[opened.primary_index].to_pillow()
    _check_size(picture.size)
    return picture


def _decode_jxl(content: bytes) -> np.ndarray:
    """Return a JPEG XL file's first picture, upright."""
    import imagecodecs

    _check_size(jxl_size(content))
    return _without_alpha(imagecodecs.jpegxl_decode(content, index=0, numthreads=1))


def _by_pillow(content: bytes, name: str) -> Decoded:
    try:
        picture = _open(content, name)
    except DECODE_ERRORS:
        if name == "TIFF":
            return _tiff_of_numbers(content)
        raise
    tags, notice = getattr(picture, "tag_v2", {}), ""
    _refuse_camera_raw(tags)
    _check_size(picture.size, MAX_JPEG2000_PIXELS if name == "JPEG2000" else MAX_PIXELS)
    is_deep = picture.mode in DEEP_MODES and _bits(picture, content) > 8
    pixels = _numbers(content, name, picture.size) if is_deep else None
    if pixels is None:
        try:
            picture.load()
            pixels = picture
        except DECODE_ERRORS as error:
            pixels, notice = _what_is_there(picture, content, error)
    with suppress(*DECODE_ERRORS):  # it looks for a second picture
        if not notice and name in ANIMATED and picture.is_animated:
            notice = ANIMATION
    is_negative = is_deep and tags.get(MEANING) == WHITE_IS_0
    return Decoded(pixels, _orientation(picture), is_negative, notice)


def _open(content: bytes, name: str) -> ImageFile.ImageFile:
    file = _Metered(content)
    try:
        picture = Image.open(file, formats=(name,))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise Refused(
            f"The picture has more than the {MAX_PIXELS / 1e6:.0f} million pixels allowed; save it "
            "smaller."
        ) from error
    file.left = math.inf
    return picture


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


def _orientation(picture: Image.Image) -> int:
    """Return a picture's orientation by its EXIF; EXIF that cannot be read turns no picture."""
    in_hexadecimal = picture.info.get("Raw profile type exif", "")
    exif = picture.info.get("exif") or b""  # None where pillow-heif opened a picture without
    if max(len(exif), len(in_hexadecimal) // 2) > MAX_EXIF_BYTES:
        return 1
    try:
        return picture.getexif().get(ExifTags.Base.Orientation, 1)
    except DECODE_ERRORS:
        return 1


def _refuse_camera_raw(tags: Mapping) -> None:
    """Refuse a camera's raw file, of which Pillow would read the preview."""
    if DNG in tags or (OTHER_PICTURES in tags and tags.get(PREVIEW) == 1):
        raise Refused(refuse(CAMERA))


def _what_is_there(
    picture: ImageFile.ImageFile, content: bytes, error: Exception
) -> tuple[Image.Image, str]:
    """Return what can be read of a file that is cut short, and a sentence that says so."""
    picture.tile = []  # nothing more to decode: Pillow then shows what it has
    rows = np.asarray(picture).reshape(picture.height, -1)
    percent = int(100 * rows.any(axis=1).mean())  # how many rows hold anything
    if picture.format in ("JPEG", "MPO"):
        # Given an end, a JPEG is decoded as far as it goes; a progressive one is not without.
        picture = _open(content + JPEG_END, "JPEG")
        picture.load()
    if not percent and picture.info.get("progressive"):
        low, high = picture.convert("L").getextrema()
        percent = 100 * (low < high)
    if percent < MIN_PERCENT_READ:
        raise error
    return picture, (
        f"{CUT}: only {percent}% of the picture could be read."
        if percent < 100
        else f"{CUT}: some of the picture may be missing."
    )


def _tiff_of_numbers(content: bytes) -> Decoded:
    """Return a TIFF that Pillow has no mode for, such as colours in floats."""
    file = _Metered(content)
    tags = TiffImagePlugin.ImageFileDirectory_v2(file.read(8))
    file.seek(tags.next)
    tags.load(file)
    size = tags[ExifTags.Base.ImageWidth], tags[ExifTags.Base.ImageLength]
    meaning, numbers = tags.get(MEANING), tags.get(NUMBERS, 1)
    bits = numbers * max(tags.get(ExifTags.Base.BitsPerSample, (1,)))
    _check_size(size, min(MAX_PIXELS, 8 * MAX_NUMBERS_BYTES // max(8, bits)))
    _refuse_camera_raw(tags)
    if meaning not in (BLACK_IS_0, RGB) or numbers > 4:
        raise ValueError("colours that only few programs know")
    values = _numbers(content, "TIFF", size)
    if values is None:
        raise ValueError("broken")
    return Decoded(values, tags.get(ExifTags.Base.Orientation, 1))


def _bits(picture: Image.Image, content: bytes) -> int:
    """Return the bits that a PNG, TIFF or JPEG 2000 file has for each colour, 8 of others."""
    if picture.format == "PNG":
        return content[PNG_BITS]
    if picture.format == "TIFF":
        return max(picture.tag_v2.get(ExifTags.Base.BitsPerSample, (1,)))
    if picture.format == "JPEG2000":
        return 1 + (content[content.find(JPEG2000_SIZES) + JPEG2000_BITS] & 0x7F)
    return 8


def _numbers(content: bytes, name: str, size: tuple[int, int]) -> np.ndarray | None:
    """Return all bits of a picture's numbers, `(H, W)` or `(H, W, 3)`; None if they can't be had.

    Of 16 bits a colour Pillow keeps the upper 8: too little where cameras use the lower 12.
    """
    import imagecodecs

    decoder = {
        "PNG": imagecodecs.png_decode,
        "TIFF": imagecodecs.tiff_decode,
        "JPEG2000": imagecodecs.jpeg2k_decode,
    }[name]
    try:
        values = decoder(content)
    except DECODE_ERRORS:  # each knows less than Pillow in places
        return None
    if values.ndim == 3 and values.shape[:0:-1] == size:  # one plane a colour
        values = np.moveaxis(values, 0, -1)
    return _without_alpha(values) if values.shape[1::-1] == size else None


def _without_alpha(values: np.ndarray) -> np.ndarray:
    """Return `(H, W)` of gray and `(H, W, 3)` of colours, whatever follows them."""
    if values.ndim == 2:
        return values
    return values[..., 0] if values.shape[2] < 3 else values[..., :3]
