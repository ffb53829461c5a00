"""Video files for tests, made with PyAV: any size, times, codec, sound and turn."""

import random
import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from PIL import Image

MILLISECONDS = Fraction(1, 1000)
# What a codec does fastest; tests look at no detail.
FAST = {
    "libx264": {"preset": "ultrafast", "threads": "1"},
    "libvpx": {"deadline": "realtime", "cpu-used": "8"},
    "mpeg4": {},  # which browsers do not play
}
# (a, b, u, c, d, v, x, y, w) of a phone held upright: shown turned by 90 degrees clockwise.
QUARTER_TURN_MATRIX = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30)


def film(
    path: Path,
    pictures: Sequence[Image.Image],
    times_s: Sequence[float] | None = None,
    *,
    rate_hz: float = 25,
    codec: str = "libx264",
    sound: bool = False,
    pixel_aspect: Fraction = Fraction(1),
    options: dict[str, str] | None = None,
) -> Path:
    """Write pictures of one size as a video; the path's ending chooses the container.

    `options` are the container's.
    """
    times_s = times_s or [i / rate_hz for i in range(len(pictures))]
    with av.open(str(path), "w", options=options or {}) as output:
        stream = output.add_stream(codec, rate=25, options=FAST[codec])
        stream.width, stream.height = pictures[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = MILLISECONDS
        stream.codec_context.sample_aspect_ratio = pixel_aspect
        voice = output.add_stream("aac", rate=16000) if sound else None
        for time_s, picture in zip(times_s, pictures, strict=True):
            frame = av.VideoFrame.from_image(picture.convert("RGB"))
            frame.pts, frame.time_base = round(time_s * 1000), MILLISECONDS
            output.mux(stream.encode(frame))
        output.mux(stream.encode())
        if voice:
            _add_silence(output, voice, times_s[-1])
    return path


def resized_midway(path: Path, first: Sequence[Image.Image], then: Sequence[Image.Image]) -> Path:
    """Write a webm, 10 frames a second, whose size changes as when a phone is turned."""
    with av.open(str(path), "w") as output:
        stream = output.add_stream("libvpx", rate=25, options=FAST["libvpx"])
        stream.width, stream.height = first[0].size
        stream.pix_fmt = "yuv420p"
        stream.codec_context.time_base = MILLISECONDS
        other = av.CodecContext.create("libvpx", "w")
        other.width, other.height = then[0].size
        other.pix_fmt, other.time_base, other.options = "yuv420p", MILLISECONDS, FAST["libvpx"]
        for i, picture in enumerate([*first, *then]):
            frame = av.VideoFrame.from_image(picture)
            frame.pts, frame.time_base = 100 * i, MILLISECONDS
            for packet in (stream if i < len(first) else other).encode(frame):
                packet.stream = stream
                output.mux(packet)
        for packet in other.encode(None):
            packet.stream = stream
            output.mux(packet)
    return path


def sound_only(path: Path) -> Path:
    """Write a second of sound without any picture."""
    with av.open(str(path), "w") as output:
        _add_silence(output, output.add_stream("aac", rate=16000), seconds=1)
    return path


def numbered(count: int, size: tuple[int, int] = (160, 120)) -> list[Image.Image]:
    """Return gray pictures, the i-th one with the gray value `10 * i`."""
    return [Image.new("RGB", size, (10 * i,) * 3) for i in range(count)]


def noisy(count: int) -> list[Image.Image]:
    """Return pictures that no codec can make small, so that half a file is half a film."""
    dice = random.Random(0)
    return [Image.frombytes("RGB", (64, 48), dice.randbytes(64 * 48 * 3)) for _ in range(count)]


def number(picture: Image.Image) -> int:
    """Return i of a picture from `numbered`, through a codec's losses."""
    return round(float(np.asarray(picture.convert("L")).mean()) / 10)


def turned(path: Path, matrix: Sequence[int] = QUARTER_TURN_MATRIX) -> Path:
    """Turn an mp4 by its header, as a phone does: shown 90 degrees clockwise, or otherwise."""
    data = bytearray(path.read_bytes())
    struct.pack_into(">9i", data, data.index(b"tkhd") + 44, *matrix)
    path.write_bytes(data)
    return path


def without_frames(mp4: bytes) -> bytes:
    """Return an mp4 whose frames are zeros."""
    start, end = mp4.index(b"mdat") + 4, mp4.index(b"moov") - 4
    return mp4[:start] + bytes(end - start) + mp4[end:]


def lie_about_length(path: Path) -> Path:
    """Turn the seconds that an mp4 states into hours, in the film and in its picture track."""
    data = bytearray(path.read_bytes())
    for atom, offset in ((b"mvhd", 16), (b"tkhd", 20), (b"mdhd", 16)):
        start = data.index(atom) + 4 + offset
        struct.pack_into(">I", data, start, 3600 * struct.unpack_from(">I", data, start)[0])
    path.write_bytes(data)
    return path


def _add_silence(output: av.container.OutputContainer, stream: av.AudioStream, seconds: float):
    samples = 1024
    for start in range(0, round(seconds * 16000), samples):
        frame = av.AudioFrame.from_ndarray(
            np.zeros((1, samples), np.float32), format="fltp", layout="mono"
        )
        frame.sample_rate, frame.pts = 16000, start
        output.mux(stream.encode(frame))
    output.mux(stream.encode())
