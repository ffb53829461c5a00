"""Hostile and odd videos and zip files, the same ones every time; `corpus.py` has the pictures."""

import random
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path

from corpus import OddFile, encoded, noise, zipped
from films import film, lie_about_length, noisy, numbered, sound_only, turned, without_frames
from PIL import Image

from emotion_detective.page import batch_files

# Frames that a kilobyte of header can state; FFmpeg makes a list of them: 72 GB.
STATED_FRAMES = 3_000_000_000


def films(folder: Path) -> Iterator[OddFile]:
    """Yield videos as people have them, and what only looks like one."""
    pictures = numbered(12, (64, 48))
    good = {
        "whole.mp4": film(folder / "whole.mp4", pictures),
        "whole.webm": film(folder / "whole.webm", pictures, codec="libvpx"),
        "whole.avi": film(folder / "whole.avi", pictures),
        "turned.mov": turned(film(folder / "turned.mov", pictures)),
        "hours.mp4": lie_about_length(film(folder / "hours.mp4", pictures)),
        "still.mp4": film(folder / "still.mp4", pictures[:1]),
        "8k.mp4": film(folder / "8k.mp4", [Image.new("RGB", (7680, 4320), "teal")]),
        "backwards.webm": film(
            folder / "backwards.webm", pictures, [7.0 + i / 25 for i in range(12)], codec="libvpx"
        ),
    }
    for name, path in good.items():
        yield OddFile(name, path.read_bytes(), True)
    mp4, webm = good["whole.mp4"].read_bytes(), good["whole.webm"].read_bytes()
    yield OddFile("really-webm.mp4", webm, True)
    yield OddFile("<script>.mp4", mp4, True)
    yield OddFile("without-frames.mp4", without_frames(mp4), False)
    yield OddFile("frame-bomb.mp4", stating(mp4, STATED_FRAMES), False)
    yield OddFile("sound.mp4", sound_only(folder / "sound.mp4").read_bytes(), False)
    playlist = b"#EXTM3U\n#EXTINF:1,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"
    yield OddFile("list.m3u8", playlist, False)
    yield OddFile("list.mp4", b"ffconcat version 1.0\nfile /etc/passwd\n", False)
    for name, content in {"nothing": b"", "text": b"film\n" * 99, "zeros": bytes(9999)}.items():
        yield OddFile(f"{name}.mp4", content, False)


def damaged_films(folder: Path) -> Iterator[OddFile]:
    """Yield videos cut off and with bits flipped."""
    dice = random.Random(0)
    for suffix, codec in (("mp4", "libx264"), ("webm", "libvpx"), ("avi", "libx264")):
        content = film(folder / f"noisy.{suffix}", noisy(12), codec=codec).read_bytes()
        for eighth in (1, 4, 7):
            cut = content[: len(content) * eighth // 8]
            yield OddFile(f"cut-{eighth}.{suffix}", cut, None)
        for number in range(4):
            data = bytearray(content)
            reach = len(data) if number % 2 else 600
            for _ in range(dice.choice([1, 10, 100])):
                place = dice.randrange(reach) - (0 if number % 3 else reach)  # or from the end
                data[place] ^= 1 << dice.randrange(8)
            yield OddFile(f"flipped-{number}.{suffix}", bytes(data), None)


def stating(mp4: bytes, frames: int) -> bytes:
    """Return an mp4 whose header states so many frames of 100 bytes."""
    data = bytearray(mp4)
    struct.pack_into(">II", data, data.index(b"stsz") + 8, 100, frames)
    struct.pack_into(">II", data, data.index(b"stsc") + 12, 1, frames)
    struct.pack_into(">I", data, data.index(b"stts") + 12, frames)
    return bytes(data)


def zips() -> Iterator[OddFile]:
    """Yield zip files; `readable` says whether the first entry's picture is read."""
    png = encoded(noise(), "PNG")
    for name in ("../../../etc/passwd.png", "/etc/x.png", "<b>.png", "=1+1.png", "a\\b.png"):
        yield OddFile(f"{len(name)}.zip", zipped({name: png}), True)
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        packed = zipped({"a.png": png}, method)
        yield OddFile(f"method-{method}.zip", packed, False)
        yield OddFile(f"broken-{method}.zip", packed.replace(png[:1], b"\xff"), False)
        yield OddFile(f"bomb-{method}.zip", zipped({"a.png": bytes(3 * 10**7)}, method), False)
    good = zipped({"a.png": png})
    yield OddFile("bomb.zip", zipped({"a.png": bytes(10**8)}, zipfile.ZIP_DEFLATED), False)
    yield OddFile("nested.zip", zipped({"a.zip": good}), False)
    yield OddFile("cut.zip", good[: len(good) // 2], False)
    yield OddFile("encrypted.zip", flagged(good, 1), False)
    yield OddFile("wrong-sum.zip", good.replace(png[200:210], bytes(10)), False)
    yield OddFile("with-trash-before.zip", b"#!/bin/sh\n" + good, True)
    yield OddFile("directory-bomb.zip", endless_directory(), False)
    yield OddFile("empty.zip", zipped({}), False)


def flagged(archive: bytes, flags: int) -> bytes:
    """Return a zip file of one entry with other flags in both of its headers."""
    data = bytearray(archive)
    struct.pack_into("<H", data, 6, flags)
    struct.pack_into("<H", data, data.index(b"PK\x01\x02") + 8, flags)
    return bytes(data)


def endless_directory() -> bytes:
    """Return a zip file that lists one entry a hundred thousand times."""
    good = zipped({"a.png": b""})
    start, end = good.index(b"PK\x01\x02"), good.index(b"PK\x05\x06")
    directory = good[start:end] * (2 * batch_files.MAX_DIRECTORY_BYTES // (end - start))
    tail = bytearray(good[end:])
    struct.pack_into("<I", tail, 12, len(directory))
    return good[:start] + directory + bytes(tail)
