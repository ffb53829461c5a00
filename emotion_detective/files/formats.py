"""What a file is by its first bytes: a picture that is read here, or what to say of it."""

import re
import struct
from collections.abc import Iterator
from pathlib import PurePosixPath

# As a refusal lists them.
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
HEIC, JXL, JXL_CODESTREAM = "HEIC", "JPEG XL", b"\xff\x0a"
# By Pillow's names but for the last. None of these decoders runs a program, as the one of EPS does.
STARTS = {
    b"\xff\xd8\xff": "JPEG",  # MPO, of phones and 3D cameras, too
    b"\x89PNG\r\n\x1a\n": "PNG",
    b"GIF87a": "GIF",
    b"GIF89a": "GIF",
    b"BM": "BMP",
    b"II*\x00": "TIFF",
    b"MM\x00*": "TIFF",
    b"II+\x00": "TIFF",
    b"MM\x00+": "TIFF",
    b"\x00\x00\x00\x0cjP  \r\n\x87\n": "JPEG2000",
    b"\xff\x4f\xff\x51": "JPEG2000",
    b"\x00\x00\x00\x0cJXL \r\n\x87\n": JXL,
    JXL_CODESTREAM: JXL,
}
HEIF_BRANDS = frozenset((b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs"))
AVIF_BRANDS = frozenset((b"avif", b"avis"))
# Of either, by what else the file names.
GENERAL_BRANDS = frozenset((b"mif1", b"msf1", b"mif2"))
CAMERA, VIDEO, ZIP = "a camera's raw file", "a video", "a zip file"
ARCHIVES = {
    b"PK\x03\x04": ZIP,
    b"Rar!": "a RAR file",
    b"7z\xbc\xaf\x27\x1c": "a 7z file",
    b"\x1f\x8b": "a gzip file",
}
UNREAD_STARTS = ARCHIVES | {b"%PDF": "a PDF document", b"\x1aE\xdf\xa3": VIDEO}
# Boxes of an ISO media file that are looked through; a phone's have ten.
MAX_BOXES = 1000


def recognize(content: bytes) -> str:
    """Return the format of a picture file; ValueError where it is no picture that is read here."""
    head = content[:HEAD_BYTES]
    if name := _picture_format(head):
        return name
    if name := unread_format(head):
        raise ValueError(refuse(name))
    if not content:
        raise ValueError("The file is empty; save or upload it again.")
    raise ValueError(
        f"The file ({len(content)} bytes) is no picture that can be read; the formats are {NAMES}."
    )


def is_picture(name: str, head: bytes) -> bool:
    """True for a picture by its first `HEAD_BYTES`, or by its name: a broken one, worth a word.

    `name` is the file's path from the top of what is listed; what is hidden is no picture.
    """
    named = PurePosixPath(name).suffix.lower() in SUFFIXES
    return not is_hidden(name) and (named or _picture_format(head) is not None)


def is_hidden(name: str) -> bool:
    """True for what a system hides: macOS puts "__MACOSX/._im0.png" into the zips it makes."""
    return any(part.startswith(".") or part == "__MACOSX" for part in PurePosixPath(name).parts)


def unread_format(head: bytes) -> str | None:
    """Return what a file is that is known but not read, such as "an SVG drawing"; else None."""
    if name := _by_start(head, UNREAD_STARTS):
        return name
    text = head.lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if text.startswith((b"<svg", b"<?xml", b"<!doctype svg")) and b"svg" in text:
        return "an SVG drawing"
    if text.startswith((b"<!doctype html", b"<html")):
        return "a web page"
    major, _ = _brands(head)
    if major == b"crx ":
        return CAMERA
    return VIDEO if major or head[:4] + head[8:11] == b"RIFFAVI" else None


def refuse(name: str) -> str:
    """Return the sentence that refuses a format which is known but not read."""
    if name == VIDEO:
        return "The file is a video, not a picture; save one of its frames as JPEG or PNG."
    if name in ARCHIVES.values():
        return f"The file is {name}, not a picture; unpack it first."
    return f"The file is {name}, which is not read here; save it as JPEG or PNG."


def _picture_format(head: bytes) -> str | None:
    """Return the format of a picture that is read here, by its first bytes."""
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WEBP"
    if re.match(rb"P[1-6f]\s+[#\d]", head):
        return "PPM"
    major, others = _brands(head)
    if major in AVIF_BRANDS or (major in GENERAL_BRANDS and AVIF_BRANDS & others):
        return "AVIF"
    if major in HEIF_BRANDS | GENERAL_BRANDS:
        return HEIC
    name = _by_start(head, STARTS)
    # Text may begin as these two do: a bitmap's size and four zeros follow, and text has no zero.
    if name == "BMP" and head[6:10] != bytes(4):
        return None
    return None if head.startswith(JXL_CODESTREAM) and b"\0" not in head else name


def _by_start(head: bytes, starts: dict[bytes, str]) -> str | None:
    return next((name for start, name in starts.items() if head.startswith(start)), None)


def _brands(head: bytes) -> tuple[bytes, frozenset[bytes]]:
    """Return the main brand of an ISO media file, and all it names; b"" of another file."""
    if head[4:8] != b"ftyp":
        return b"", frozenset()
    end = min(int.from_bytes(head[:4]), len(head))
    return head[8:12], frozenset(head[i : i + 4] for i in range(8, end - 3, 4))


def missing_bytes(content: bytes, name: str) -> int:
    """Return how many bytes a WebP, HEIC or AVIF file lacks of those it states; 0 of any other."""
    end = 0
    if name == "WEBP":
        end = 8 + int.from_bytes(content[4:8], "little")
    elif name in (HEIC, "AVIF"):
        for _, start, length in _boxes(content):
            end = start + length
    return max(0, end - len(content))


def jxl_size(content: bytes) -> tuple[int, int]:
    """Return the width and height that a JPEG XL file states (ISO/IEC 18181-1, SizeHeader).

    Its decoders decode before they tell the size, which a limit must know first.
    """
    start = 0
    if not content.startswith(JXL_CODESTREAM):
        boxes = [box for box in _boxes(content) if box[0] in (b"jxlc", b"jxlp")]
        kind, start, _ = boxes[0]  # IndexError: a file without a picture
        start += 4 * (kind == b"jxlp")  # a part, which begins with its number
    bits = int.from_bytes(content[start + 2 : start + 16], "little")

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


def _boxes(content: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield the kind of each box of an ISO media file, where its content starts, and its length."""
    place = 0
    for _ in range(MAX_BOXES):
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
