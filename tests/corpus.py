"""Hostile and odd pictures, the same ones every time; films and zips are in `odd_films.py`.

    for odd in corpus.GROUPS["exif"](): odd.name, odd.content, odd.readable

`readable` is what a file must be answered as: True an answer, False a sentence, None either.
"""

import random
import struct
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from io import BytesIO

import imagecodecs
import numpy as np
import pillow_heif
from PIL import Image

FORMATS = (
    *("JPEG", "PNG", "WEBP", "GIF", "BMP", "TIFF", "AVIF", "PPM", "JPEG2000"),
    *("HEIC", "JXL"),
)
ORIENTATION = 0x0112  # EXIF tag
# Large enough that whoever reads it for each of 1,000 tags takes a gigabyte.
REPEATED_BYTES, REPEATS = 1_000_000, 1_000


@dataclass(frozen=True)
class OddFile:
    """What a visitor sends: the name it is given and its bytes."""

    name: str
    content: bytes
    readable: bool | None


def noise(width: int = 96, height: int = 64) -> Image.Image:
    """Return a picture that no encoder makes small."""
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def encoded(picture: Image.Image, suffix: str, **options) -> bytes:
    """Return the file of a picture; as HEIC and JXL too, which Pillow does not write."""
    if suffix == "JXL":
        return imagecodecs.jpegxl_encode(np.asarray(picture), **options)
    file = BytesIO()
    if suffix == "HEIC":
        pillow_heif.from_pillow(picture).save(file, **options)
    else:
        picture.save(file, suffix, **options)
    return file.getvalue()


def whole() -> Iterator[OddFile]:
    """Yield every format as it should be, under a wrong ending, and with more behind it."""
    for suffix, other in zip(FORMATS, FORMATS[1:] + FORMATS[:1], strict=True):
        content = encoded(noise(), suffix)
        yield OddFile(f"really-{suffix}.{other.lower()}", content, True)
        yield OddFile(f"{suffix}-and-more.png", content + b"PK\x03\x04<script>" * 50, True)


def truncated() -> Iterator[OddFile]:
    """Yield every format cut off at ten places."""
    for suffix in FORMATS:
        content = encoded(noise(), suffix)
        for tenth in range(10):
            cut = content[: len(content) * tenth // 10]
            yield OddFile(f"cut-{tenth}.{suffix.lower()}", cut, None)


def flipped() -> Iterator[OddFile]:
    """Yield every format with 1 to 200 bits flipped, half of them near the start."""
    dice = random.Random(0)
    for suffix in FORMATS:
        content = encoded(noise(), suffix)
        for number in range(12):
            data = bytearray(content)
            reach = len(data) if number % 2 else 200
            for _ in range(dice.choice([1, 5, 20, 200])):
                data[dice.randrange(reach)] ^= 1 << dice.randrange(8)
            yield OddFile(f"flipped-{number}.{suffix.lower()}", bytes(data), None)


def modes() -> Iterator[OddFile]:
    """Yield every pixel that a file can hold, and animations."""
    picture = noise()
    gray = np.asarray(picture.convert("L"))
    odd = np.array([[np.nan, np.inf, -np.inf, 1e38, -1.0, 0.5]], np.float32)
    odd_modes = {
        "16.png": encoded(Image.fromarray(gray.astype(np.uint16) * 257), "PNG"),
        "16.tiff": encoded(Image.fromarray(gray.astype(np.uint16) * 257), "TIFF"),
        "32.tiff": encoded(Image.fromarray(gray.astype(np.int32) * 9_000_000), "TIFF"),
        "float.tiff": encoded(Image.fromarray(odd.repeat(30, axis=0)), "TIFF"),
        "clear.png": encoded(picture.convert("P"), "PNG", transparency=0),
        "lab.tiff": encoded(Image.merge("LAB", picture.split()), "TIFF"),
        "adobe.jpg": encoded(picture.convert("CMYK"), "JPEG"),
    }
    for name, content in odd_modes.items():
        yield OddFile(name, content, True)
    for mode in ("1", "L", "LA", "P", "RGBA"):
        yield OddFile(f"{mode}.png", encoded(picture.convert(mode), "PNG"), True)
    for mode in ("CMYK", "RGBA", "1", "P"):
        yield OddFile(f"{mode}.tiff", encoded(picture.convert(mode), "TIFF"), True)
    for suffix in ("GIF", "WEBP", "PNG", "TIFF"):  # an AVIF film holds the time of its making
        moving = encoded(picture, suffix, save_all=True, append_images=[picture.rotate(90)] * 3)
        yield OddFile(f"moving.{suffix.lower()}", moving, True)


def exif() -> Iterator[OddFile]:
    """Yield all orientations, impossible ones, and EXIF and colour profiles that are broken."""
    for suffix in ("JPEG", "PNG", "WEBP", "TIFF"):
        for orientation in (*range(10), 65535):
            tags = Image.Exif()
            tags[ORIENTATION] = orientation
            content = encoded(noise(), suffix, exif=tags)
            yield OddFile(f"turned-{orientation}.{suffix.lower()}", content, True)
    junk = (b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff", b"Exif\x00\x00II", b"\xff" * 60_000)
    for suffix in ("JPEG", "PNG", "WEBP"):
        for number, data in enumerate(junk):
            content = encoded(noise(), suffix, exif=data)
            yield OddFile(f"exif-{number}.{suffix.lower()}", content, True)
        for number, profile in enumerate((b"", b"no profile", bytes(200), b"\xff" * 60_000)):
            content = encoded(noise(), suffix, icc_profile=profile)
            yield OddFile(f"profile-{number}.{suffix.lower()}", content, True)
    yield OddFile("exif-bomb.webp", encoded(noise(), "WEBP", exif=b"Exif\0\0" + repeated()), True)
    yield OddFile("exif-bomb.png", with_chunks((b"eXIf", repeated())), True)


def repeated() -> bytes:
    """Return a TIFF, EXIF too, whose 1,000 tags are all the same million bytes."""
    own = [(256, 8), (257, 8), (258, 8), (259, 1), (262, 1), (273, 8), (277, 1), (278, 8)]
    tags = [struct.pack("<HHIHH", tag, 3, 1, value, 0) for tag, value in own]
    tags.append(struct.pack("<HHII", 279, 4, 1, 64))
    start = 8 + 2 + 12 * (len(tags) + REPEATS) + 4
    for number in range(REPEATS):
        tags.append(struct.pack("<HHII", 40_000 + number, 1, REPEATED_BYTES, start))
    head = b"II*\x00" + struct.pack("<IH", 8, len(tags))
    return head + b"".join(tags) + bytes(4 + REPEATED_BYTES)


def chunk(kind: bytes, data: bytes) -> bytes:
    """Return one chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def with_chunks(*chunks: tuple[bytes, bytes]) -> bytes:
    """Return a PNG with more chunks before its pixels."""
    png = encoded(noise(), "PNG")
    return png[:33] + b"".join(chunk(kind, data) for kind, data in chunks) + png[33:]


def sizes() -> Iterator[OddFile]:
    """Yield the smallest, the longest, the largest, and those that only say they are large."""
    for suffix in FORMATS:
        yield OddFile(f"1x1.{suffix.lower()}", encoded(noise(1, 1), suffix), True)
        yield OddFile(f"2x700.{suffix.lower()}", encoded(noise(2, 700), suffix), True)
    for width, height in ((20_000, 1), (1, 20_000), (20_000, 40)):
        content = encoded(Image.new("L", (width, height), 128), "PNG")
        yield OddFile(f"{width}x{height}.png", content, True)
    for width, height in ((30_000, 2), (2, 30_000), (9_000, 9_000)):
        content = encoded(Image.new("1", (width, height)), "PNG")
        yield OddFile(f"{width}x{height}.png", content, False)
    yield OddFile("64-million.png", encoded(Image.new("1", (8_000, 8_000), 1), "PNG"), True)
    png, gif, bmp = (encoded(noise(), suffix) for suffix in ("PNG", "GIF", "BMP"))
    for side in (0, 20_001, 2**31 - 1):
        header = struct.pack(">II", side, side) + png[24:29]
        lie = png[:8] + chunk(b"IHDR", header) + png[33:]
        yield OddFile(f"says-{side}.png", lie, False)
    yield OddFile("says-65535.gif", gif[:6] + b"\xff" * 4 + gif[10:], False)
    for width, height in ((2**30, 2**30), (-1, -1), (0, 0), (96, -(2**31))):
        lie = bmp[:18] + struct.pack("<ii", width, height) + bmp[26:]
        yield OddFile(f"says-{width}.bmp", lie, False)
    jpeg = encoded(noise(), "JPEG")
    start = jpeg.index(b"\xff\xc0") + 5
    yield OddFile("says-65535.jpg", jpeg[:start] + b"\xff" * 4 + jpeg[start + 4 :], False)
    yield from new_formats_that_say_they_are_large()
    yield OddFile("says-much.ppm", b"P6 99999 99999 255\n", False)
    yield OddFile("repeated.tiff", repeated(), False)
    unpacked = zlib.compress(bytes(100_000_000))
    yield OddFile("text-bomb.png", with_chunks((b"zTXt", b"a\0\0" + unpacked)), None)
    yield OddFile("profile-bomb.png", with_chunks((b"iCCP", b"a\0\0" + unpacked)), None)


def new_formats_that_say_they_are_large() -> Iterator[OddFile]:
    """Yield HEIC, JPEG 2000 and JPEG XL with a false size in the header."""
    heic, jp2, jxl = (encoded(noise(), suffix) for suffix in ("HEIC", "JPEG2000", "JXL"))
    for side in (0, 20_001, 2**31 - 1):
        size = struct.pack(">II", side, side)
        yield OddFile(f"says-{side}.heic", replaced(heic, b"ispe", 4, size), False)
        lie = replaced(jp2, b"ihdr", 0, size)
        yield OddFile(f"says-{side}.jp2", lie, False)
        yield OddFile(f"says-{side}-twice.jp2", replaced(lie, b"\xff\x51", 4, size), False)
        yield OddFile(f"says-{side}-inside.jp2", replaced(jp2, b"\xff\x51", 4, size), False)
    lie = replaced(jp2, b"ihdr", 0, struct.pack(">II", 4_000, 4_000))
    lie = replaced(lie, b"\xff\x51", 4, struct.pack(">II", 4_000, 4_000))
    tiny_tiles = replaced(lie, b"\xff\x51", 20, struct.pack(">II", 1, 1))
    yield OddFile("16-million-tiles.jp2", tiny_tiles, False)
    large = encoded(Image.new("RGB", (900, 900), "teal"), "HEIC")
    small = replaced(large, b"ispe", 4, struct.pack(">II", 96, 64))
    yield OddFile("says-small.heic", small, False)
    billion = ((2**30 - 1) << 3 | 3 << 1).to_bytes(12, "little")  # SizeHeader: not small, 30 bits
    yield OddFile("says-billion.jxl", b"\xff\x0a" + billion + jxl[14:], False)


def replaced(content: bytes, mark: bytes, offset: int, value: bytes) -> bytes:
    """Return a file with other bytes, so many after a mark."""
    start = content.index(mark) + len(mark) + offset
    return content[:start] + value + content[start + len(value) :]


def no_pictures() -> Iterator[OddFile]:
    """Yield what is something else, or nothing."""
    contents = {
        "nothing": b"",
        "zeros": bytes(5000),
        "ones": b"\xff" * 5000,
        "text": b"Dear server,\n" * 40,
        "svg": b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>',
        "entities": b'<!DOCTYPE a [<!ENTITY b SYSTEM "file:///etc/passwd">]><a>&b;</a>',
        "html-before-jpeg": b"<html>" + encoded(noise(), "JPEG"),
        "zip": zipped({"a.png": encoded(noise(), "PNG")}),
        "pickle": b"\x80\x04cos\nsystem\n(S'true'\ntR.",
        "eps": b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n(/etc/passwd) run\n",
        "heic": b"\x00\x00\x00\x18ftypheic" + bytes(100),
    }
    for name, content in contents.items():
        yield OddFile(f"{name}.png", content, False)
    for suffix in FORMATS:
        yield OddFile(f"magic.{suffix.lower()}", encoded(noise(), suffix)[:12], False)


def zipped(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
    """Return a zip file, made long ago."""
    file = BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, content in entries.items():
            archive.writestr(zipfile.ZipInfo(name), content, method)
    return file.getvalue()


NAMES = (
    *("../../../etc/passwd.png", "..\\..\\windows\\system.png", "/etc/cron.d/x.png", "C:\\x.png"),
    *("%2e%2e%2fx.png", "<img src=x onerror=alert(1)>.png", "' OR 1=1.png", "{{7*7}}${7*7}.png"),
    *("$(touch x)`id`|x&.png", "=cmd|'/C calc'!A0.png", "[link](javascript:alert(1)).png"),
    *("two\nlines\r\n.png", "zero\x00byte.png", "turned\u202egnp.exe", "half \ud800 character.png"),
    *("😀 ünï.png", "con.png", " .png", ".png", "-rf.png", "long" * 500 + ".png"),
)


def names() -> Iterator[OddFile]:
    """Yield one good picture under every name that should not matter."""
    content = encoded(noise(), "PNG")
    for name in NAMES:
        yield OddFile(name, content, True)


# What each makes is made once: some take seconds.
GROUPS = {
    group.__name__: cache(lambda group=group: [*group()])
    for group in (whole, truncated, flipped, modes, exif, sizes, no_pictures, names)
}
