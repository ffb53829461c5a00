"""What a file is by its first bytes, and decoders that Pillow lacks: HEIC and JPEG XL.

`pictures.py` opens files with it, `training` tells pictures from other files with it. Nothing here
registers itself with Pillow, and each library is loaded for its first file only. Sizes are known
before a pixel is decoded, so that the caller's limits hold.
"""

import re
import struct
from collections.abc import Callable, Iterator, Mapping
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from PIL import Image

# Formats of Pillow whose decoders are worth their risk: none runs a program, as EPS does. MPO, of
# phones and 3D cameras, is JPEG to Pillow.
PILLOW_FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "JPEG2000", "PPM")
# As a refusal tells them.
NAMES = "JPEG, PNG, WebP, HEIC, AVIF, JPEG 2000, JPEG XL, GIF, BMP, TIFF and PPM"
SUFFIXES = frozenset(
    {
        *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".gif", ".bmp"),
        *(".dib", ".tif", ".tiff", ".heic", ".heif", ".hif", ".avif", ".jp2", ".j2k", ".jpx"),
        *(".jpf", ".jpc", ".j2c", ".jxl", ".ppm", ".pgm", ".pbm", ".pnm", ".pfm"),
    }
)
# What `is_picture` leaves out, in a log's words.
NO_PICTURES = "files that are hidden or no pictures"
# How much of a file's start says what it is.
HEAD_BYTES = 512
JXL_CODESTREAM, JXL_CONTAINER = b"\xff\x0a", b"\x00\x00\x00\x0cJXL \r\n\x87\n"
# Whoever adds a start adds its format above.
PICTURE_STARTS = (
    *(b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF87a", b"GIF89a", b"BM", b"II*\x00", b"MM\x00*"),
    *(b"II+\x00", b"MM\x00+"),
    *(b"\x00\x00\x00\x0cjP  \r\n\x87\n", b"\xff\x4f\xff\x51", JXL_CODESTREAM, JXL_CONTAINER),
)
HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
AVIF_BRANDS = frozenset((b"avif", b"avis"))
# Of either, by what else the file names.
GENERAL_BRANDS = frozenset((b"mif1", b"msf1", b"mif2"))
CAMERA = "a camera's raw file"
ZIP = "a zip file"
ARCHIVES = {
    b"PK\x03\x04": ZIP,
    b"Rar!": "a RAR file",
    b"7z\xbc\xaf\x27\x1c": "a 7z file",
    b"\x1f\x8b": "a gzip file",
}
UNREAD_STARTS = {
    b"%PDF": "a PDF document",
    b"8BPS": "a Photoshop file (PSD)",
    b"%!PS": "a PostScript drawing",
    b"\xc5\xd0\xd3\xc6": "a PostScript drawing",
    b"gimp xcf": "a GIMP file (XCF)",
    b"\x00\x00\x01\x00": "an icon",
    b"\x76\x2f\x31\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance picture (HDR)",
    b"II\xbc\x01": "a JPEG XR picture",
    b"FUJIFILMCCD-RAW": CAMERA,
    b"IIRO": CAMERA,
    b"IIRS": CAMERA,
    b"MMOR": CAMERA,
    b"IIU\x00": CAMERA,
    b"PF\n": "a colour PFM picture",
    b"P7\n": "a PAM picture",
    b"qoif": "a QOI picture",
    b"icns": "an icon",
    b"\x00\x00\x02\x00": "a cursor",
    b"DDS ": "a DDS texture",
    b"SIMPLE  =": "a FITS picture",
    b"AT&TFORM": "a DjVu document",
    b"0&\xb2u": "a video",
    b"OggS": "a video",
    b"\x1aE\xdf\xa3": "a video",
    b"FLV\x01": "a video",
    b"\x00\x00\x01\xba": "a video",
}
# Tags of TIFF: a preview where the picture should be, pictures besides it, DNG's version.
PREVIEW, OTHER_PICTURES, DNG = 254, 330, 50706
# Parts of a JPEG before its picture, or of an ISO media file, that are looked through; a phone's
# have ten.
MAX_PARTS = 1000


def is_picture(name: str, head: bytes) -> bool:
    """True for a picture by its first `HEAD_BYTES`, and for a file that only its name calls one.

    Such a file is a broken picture, and worth a word. What is hidden is none.

    Args:
        name: the file's path from the top of what is listed.
    """
    if is_hidden(name):
        return False
    return PurePosixPath(name).suffix.lower() in SUFFIXES or starts_a_picture(head)


def is_hidden(name: str) -> bool:
    """True for what a system hides: macOS puts "__MACOSX/._im0.png" into the zips it makes."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def starts_a_picture(head: bytes) -> bool:
    """True for the first bytes of a picture that can be read."""
    if head[:2] == b"BM":  # text may begin so: its size and four zeros follow
        return len(head) > 10 and head[6:10] == bytes(4)
    if head.startswith(JXL_CODESTREAM):
        return b"\0" in head  # text of two such bytes has none
    is_webp = head[:4] == b"RIFF" and head[8:12] == b"WEBP"
    is_ppm = re.match(rb"P[1-6f]\s+[#\d]", head) is not None
    starts = is_webp or is_ppm or head.startswith(PICTURE_STARTS)
    return starts or is_heif(head) or _is_avif(head)


def is_heif(head: bytes) -> bool:
    """True for the first bytes of a HEIC or HEIF file."""
    major, others = _brands(head)
    return major in HEIF_BRANDS or (major in GENERAL_BRANDS and not AVIF_BRANDS & others)


def is_jxl(head: bytes) -> bool:
    """True for the first bytes of a JPEG XL file."""
    return head.startswith((JXL_CODESTREAM, JXL_CONTAINER))


def _is_avif(head: bytes) -> bool:
    major, others = _brands(head)
    return major in AVIF_BRANDS or (major in GENERAL_BRANDS and bool(AVIF_BRANDS & others))


def _brands(head: bytes) -> tuple[bytes, frozenset[bytes]]:
    """Return the main brand of an ISO media file, and all it names; b"" of another file."""
    if head[4:8] != b"ftyp":
        return b"", frozenset()
    end = min(int.from_bytes(head[:4]), len(head))
    return head[8:12], frozenset(head[i : i + 4] for i in range(8, end - 3, 4))


def unread_format(head: bytes) -> str | None:
    """Return what a file is that is known but not read, such as "an SVG drawing"; else None."""
    for start, name in (ARCHIVES | UNREAD_STARTS).items():
        if head.startswith(start):
            return name
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")):
        return "an SVG drawing" if b"<svg" in text or b"svg" in text[:200] else "an XML file"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    if head[128:132] == b"DICM":
        return "a DICOM picture"
    if head[:4] == b"RIFF" and head[8:11] == b"AVI":
        return "a video"
    major, _ = _brands(head)
    if not major or is_heif(head) or _is_avif(head):
        return None
    return CAMERA if major == b"crx " else "a video"


def is_camera_raw(tags: Mapping[int, Any]) -> bool:
    """True for the tags of a camera's raw file, of which Pillow would read the preview."""
    return DNG in tags or (OTHER_PICTURES in tags and tags.get(PREVIEW) == 1)


def is_tiff(head: bytes) -> bool:
    """True for the first bytes of a TIFF."""
    return head.startswith((b"II*\x00", b"MM\x00*"))


def jpeg_variety(content: bytes) -> str | None:
    """Return what a JPEG is of which only medical and scientific programs know; else None."""
    place = 2
    for _ in range(MAX_PARTS):
        part = content[place : place + 5]
        if len(part) < 5 or part[0] != 0xFF:
            return None
        if part[1] == 0xF7:
            return "a JPEG-LS picture"
        if 0xC0 <= part[1] <= 0xCF and part[1] not in (0xC4, 0xC8, 0xCC):  # the picture's header
            return f"a JPEG picture of {part[4]} bits a colour" if part[4] != 8 else None
        place += 2 + int.from_bytes(part[2:4])
    return None


def missing_bytes(content: bytes) -> int:
    """Return how many bytes a WebP, HEIC or AVIF file lacks of those it states; 0 of any other."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return max(0, 8 + int.from_bytes(content[4:8], "little") - len(content))
    if not (is_heif(content[:HEAD_BYTES]) or _is_avif(content[:HEAD_BYTES])):
        return 0
    end = 0
    for _, start, length in _boxes(content):
        end = start + length
    return max(0, end - len(content))


def open_heif(content: bytes, check_size: Callable[[tuple[int, int]], None]) -> Image.Image:
    """Return a HEIC file's main picture, upright: libheif turns it, and its EXIF says so no more.

    Deep colours become 8 bits. `check_size` is called with width and height before it is decoded.
    """
    import pillow_heif

    opened = pillow_heif.open_heif(content, convert_hdr_to_8bit=True)
    check_size(opened.size)
    picture = opened[opened.primary_index].to_pillow()
    check_size(picture.size)
    return picture


def decode_jxl(content: bytes, check_size: Callable[[tuple[int, int]], None]) -> np.ndarray:
    """Return a JPEG XL file's first picture, upright: `(H, W)` or `(H, W, C)`, uint or float."""
    import imagecodecs

    check_size(_jxl_size(content))
    try:
        values = imagecodecs.jpegxl_decode(content, index=0, numthreads=1)
    except imagecodecs.JpegxlError as error:
        raise ValueError(str(error)) from error
    return values


def _jxl_size(content: bytes) -> tuple[int, int]:
    """Return the width and height that a JPEG XL file states (ISO/IEC 18181-1, SizeHeader)."""
    bits = int.from_bytes(_jxl_codestream(content)[2:16], "little")

    def take(count: int) -> int:
        nonlocal bits
        value, bits = bits & ((1 << count) - 1), bits >> count
        return value

    def side(is_small: bool) -> int:
        return 8 * (1 + take(5)) if is_small else 1 + take((9, 13, 18, 30)[take(2)])

    is_small = bool(take(1))
    height = side(is_small)
    ratio = take(3)
    if not ratio:
        return side(is_small), height
    across, down = ((1, 1), (12, 10), (4, 3), (3, 2), (16, 9), (5, 4), (2, 1))[ratio - 1]
    return height * across // down, height


def _jxl_codestream(content: bytes) -> bytes:
    """Return where the codestream starts, in a container or without."""
    if content.startswith(JXL_CODESTREAM):
        return content[:64]
    for kind, start, _ in _boxes(content):
        if kind in (b"jxlc", b"jxlp"):
            start += 4 * (kind == b"jxlp")
            return content[start : start + 64]
    raise ValueError("no codestream")


def _boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box of an ISO media file, where its content starts, and its length."""
    place = 0
    for _ in range(MAX_PARTS):
        if place + 16 > len(content):
            return
        length, kind = struct.unpack_from(">I4s", content, place)
        head = 8
        if length == 1:
            (length,), head = struct.unpack_from(">Q", content, place + 8), 16
        if length < head:  # as long as the file
            length = len(content) - place
        yield kind, place + head, length - head
        place += length
