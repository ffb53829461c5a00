"""Video file -> upright pictures with their times. Knows no faces; used by follow.py.

    decoding.describe(path)                       # Video(size, duration_s), or ValueError: no video
    for time_s, picture in decoding.frames(path, rate_hz=5): ...
    decoding.refuse_bombs(path)                   # before these two, for files of strangers

PyAV decodes, with the FFmpeg inside its wheel. A file is believed as little as possible: frames are
placed by their own times (a phone's rate varies), the length that it states only serves progress
bars (a browser's webm states none), and it cannot name other files or addresses to read. Only a few
frames are held at a time, whatever the length; closing the generator closes the file. Run as a
script, this module is the process in which `refuse_bombs` tries a file.
"""

import math
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

# A phone's 1080p at 17 Mbit/s fills this in two and a half minutes.
MAX_FILE_BYTES = 300_000_000
MAX_SECONDS = 600.0
# 8K with a little room. Asked of the decoder too, before it takes the memory.
MAX_FRAME_PIXELS = 8192 * 4608
# All frames together: ten minutes of 4K at 30 a second, about three minutes of work for two cores.
MAX_DECODED_PIXELS = 600 * 30 * 3840 * 2160
# What a file may take until its first frame is there. A header of a kilobyte can state a billion
# frames, and FFmpeg makes a list of them before it looks for the first.
TRIAL_BYTES, TRIAL_CPU_SECONDS, TRIAL_SECONDS = 2_000_000_000, 20, 120
TOO_DEAR = (
    f"The video takes more than {TRIAL_BYTES / 1e9:g} GB or {TRIAL_CPU_SECONDS} seconds to open; "
    "save it again as mp4 or webm."
)
# Above 4K the decoder runs alone: each of its threads keeps frames of its own.
MAX_THREADED_PIXELS = 4096 * 2304
# Frames are reduced to this area as they are decoded, 1280x720 of most videos: not to a longest
# side, at which the faces of a very wide or high one would vanish.
MAX_PIXELS = 1280 * 720
# Pixels of old cameras are up to twice as wide as high; a file may state anything.
MAX_PIXEL_ASPECT = 4
MIN_RATE_HZ, MAX_RATE_HZ = 0.1, 30.0
# For files that give their frames no times.
USUAL_RATE_HZ = 25.0
# Stamps are rounded, to milliseconds in a browser's webm: a frame counts that comes early by this
# share of the time between two.
EARLY_SHARE = 0.1
# A file that ends this much before the end it states was cut short.
SHORT_BY_S, SHORT_BY_SHARE = 1.0, 0.1

# Formats that hold a video by themselves: a playlist (hls, concat) would have other files read.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf"
OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}

# What the display matrix of a turned phone, or of a mirrored selfie, makes of a stored picture: by
# the signs of its a, b, c and d.
TURNS = {
    (0, 1, -1, 0): Image.Transpose.ROTATE_270,
    (-1, 0, 0, -1): Image.Transpose.ROTATE_180,
    (0, -1, 1, 0): Image.Transpose.ROTATE_90,
    (-1, 0, 0, 1): Image.Transpose.FLIP_LEFT_RIGHT,
    (1, 0, 0, -1): Image.Transpose.FLIP_TOP_BOTTOM,
    (0, 1, 1, 0): Image.Transpose.TRANSPOSE,
    (0, -1, -1, 0): Image.Transpose.TRANSVERSE,
}
SIDEWAYS = {turn for (a, *_), turn in TURNS.items() if not a}
MATRIX = struct.Struct("=9i")


@dataclass(frozen=True)
class Video:
    """Width and height in pixels as shown (turned upright); the length that the file states."""

    size: tuple[int, int]
    duration_s: float | None


def refuse_bombs(path: Path | str) -> None:
    """Open a file in a process of its own that may take little time and memory.

    Raises:
        ValueError: it holds no video that can be read, or takes more; one sentence.
    """
    command = [sys.executable, __file__, str(Path(path).resolve())]
    try:
        trial = subprocess.run(command, capture_output=True, text=True, timeout=TRIAL_SECONDS)
    except subprocess.TimeoutExpired as error:
        raise ValueError(TOO_DEAR) from error
    if trial.returncode:
        raise ValueError(trial.stdout.strip() or TOO_DEAR)


def check_rate(rate_hz: float) -> None:
    """Raise a ValueError for what is no number of frames a second within the limits."""
    if not isinstance(rate_hz, int | float) or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        given = rate_hz if isinstance(rate_hz, int | float) else type(rate_hz).__name__
        raise ValueError(
            f"The rate must be a number between {MIN_RATE_HZ} and {MAX_RATE_HZ} frames a second, "
            f"not {given}."
        )


def describe(path: Path | str) -> Video:
    """Return what the file shows.

    Raises:
        ValueError: there is no video in it that can be read; one sentence.
    """
    with _open(path) as (container, stream):
        _, first = next(_decode(container, stream, lambda notice: None), (0.0, None))
        if first is None:
            raise ValueError("The video has no picture that can be read; record or save it again.")
        return Video(_shown_size(first, stream), _stated_seconds(container, stream, first.time))


def frames(
    path: Path | str,
    rate_hz: float,
    max_seconds: float = MAX_SECONDS,
    on_notice: Callable[[str], None] = lambda notice: None,
) -> Iterator[tuple[float, Image.Image]]:
    """Yield `(time_s, picture)`, at most `rate_hz` a second; the first frame's time is 0.

    Pictures are RGB, upright, all of the first one's size, `MAX_PIXELS` at most: of a phone that
    was turned while it recorded, the others are fitted in between black bars. A damaged or cut file
    gives what can be read of it; `on_notice` is called with a sentence about what is missing.

    Raises:
        ValueError: no video that can be read, or a rate out of range.
    """
    check_rate(rate_hz)
    with _open(path) as (container, stream):
        due_s, time_s, start_s, size, pixels = 0.0, None, None, None, 0
        early_s = EARLY_SHARE / rate_hz
        for time_s, frame in _decode(container, stream, on_notice):
            pixels += frame.width * frame.height
            if time_s > max_seconds or pixels > MAX_DECODED_PIXELS:
                read_s = min(time_s, max_seconds)
                on_notice(f"Only the first {read_s:g} seconds of the video were read.")
                return
            start_s = frame.time if start_s is None else start_s
            size = size or _reduce(_shown_size(frame, stream))
            if time_s >= due_s - early_s:
                due_s = (int((time_s + early_s) * rate_hz) + 1) / rate_hz
                yield time_s, _picture(frame, _shown_size(frame, stream), size)
        if time_s is None:
            raise ValueError("The video has no picture that can be read; record or save it again.")
        stated_s = _stated_seconds(container, stream, start_s) or 0.0
        if stated_s - time_s > max(SHORT_BY_S, SHORT_BY_SHARE * stated_s):
            on_notice(
                f"The file states a length of {stated_s:.0f} seconds but its pictures end after "
                f"{time_s:.0f}: it may be cut short."
            )


@contextmanager
def _open(path: Path | str) -> Iterator[tuple[InputContainer, VideoStream]]:
    """Open the file's first video stream, within the limits."""
    if not Path(path).is_file():
        raise ValueError(f"There is no file {str(path)!r}; check the path.")
    size = Path(path).stat().st_size
    if size > MAX_FILE_BYTES:
        raise ValueError(
            f"The video has {size / 1e6:.0f} MB and the limit is {MAX_FILE_BYTES / 1e6:.0f}; "
            "cut it or save it smaller."
        )
    if not size:  # a browser too busy to record sends such a file
        raise ValueError("The video is empty: record for a few seconds longer, or choose a file.")
    try:
        # As "file:", or a name such as "concat:a|b" would be an address.
        container = av.open(f"file:{path}", options=dict(OPEN_OPTIONS), metadata_errors="replace")
    except av.error.FFmpegError as error:
        raise ValueError(
            f"The file ({size} bytes) is no video that can be read, or it is broken at its start; "
            "mp4, mov and webm can be read."
        ) from error
    with container:
        stream = next((one for one in container.streams.video if not _is_cover(one)), None)
        if stream is None:
            raise ValueError("The file has no picture, only sound at best; choose a video.")
        if stream.codec_context is None:
            raise ValueError(
                "The video is in a format that cannot be read; save it as mp4 or webm."
            )
        _prepare_decoder(stream)
        yield container, stream


def _is_cover(stream: VideoStream) -> bool:
    return bool(stream.disposition & Disposition.attached_pic)


def _prepare_decoder(stream: VideoStream) -> None:
    pixels = stream.codec_context.width * stream.codec_context.height
    if pixels > MAX_FRAME_PIXELS:
        raise ValueError(
            f"The video has {stream.codec_context.width} x {stream.codec_context.height} pixels; "
            f"the limit is {MAX_FRAME_PIXELS / 1e6:.0f} million. Save it smaller."
        )
    stream.codec_context.options = {"max_pixels": str(MAX_FRAME_PIXELS)}
    if pixels <= MAX_THREADED_PIXELS:
        stream.thread_type = "AUTO"


def _decode(
    container: InputContainer, stream: VideoStream, on_notice: Callable[[str], None]
) -> Iterator[tuple[float, VideoFrame]]:
    """Yield the frames that can be decoded, with times that start at 0 and never fall."""
    start_s, last_s = None, 0.0
    step_s = 1 / float(stream.average_rate or USUAL_RATE_HZ)
    damaged = 0
    for packet in _packets(container, stream, on_notice):
        try:
            decoded = packet.decode()
        except av.error.FFmpegError:
            damaged += 1
            continue
        for frame in decoded:
            stated_s = frame.time if frame.time is not None else last_s + step_s
            start_s = stated_s if start_s is None else start_s
            last_s = max(last_s, stated_s - start_s)
            yield last_s, frame
    if damaged:
        on_notice(f"Parts of the video are damaged: {damaged} of its pieces were left out.")


def _packets(
    container: InputContainer, stream: VideoStream, on_notice: Callable[[str], None]
) -> Iterator[av.Packet]:
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        on_notice("The video is damaged: it could be read only up to there.")


def _stated_seconds(
    container: InputContainer, stream: VideoStream, start_s: float | None
) -> float | None:
    """Return the length that the file states from its first frame on, which it has at `start_s`."""
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base)
    else:
        seconds = (container.duration or 0) / av.time_base
    if container.format.name in ("matroska,webm", "asf") and seconds > (start_s or 0):
        seconds -= start_s or 0  # these state when they end
    return seconds if seconds > 0 else None


def _picture(frame: VideoFrame, shown: tuple[int, int], size: tuple[int, int]) -> Image.Image:
    """Return a frame upright and of this size, between black bars where its shape is another.

    Args:
        shown: width and height of the frame, upright, in square pixels.
    """
    scale = min(size[0] / shown[0], size[1] / shown[1])
    fitted = tuple(max(1, round(side * scale)) for side in shown)
    if max(abs(one - other) for one, other in zip(fitted, size, strict=True)) <= 1:  # rounded
        fitted = size
    turn = _turn(frame)
    width, height = fitted[::-1] if turn in SIDEWAYS else fitted
    picture = frame.to_image(width=width, height=height, interpolation="AREA")
    if turn is not None:
        picture = picture.transpose(turn)
    if picture.size == size:
        return picture
    padded = Image.new("RGB", size)
    padded.paste(picture, ((size[0] - fitted[0]) // 2, (size[1] - fitted[1]) // 2))
    return padded


def _shown_size(frame: VideoFrame, stream: VideoStream) -> tuple[int, int]:
    """Return width and height as shown: upright, in square pixels, where a camera's are wider."""
    aspect = float(stream.sample_aspect_ratio or 1)
    if not 1 / MAX_PIXEL_ASPECT <= aspect <= MAX_PIXEL_ASPECT:  # no camera's
        aspect = 1.0
    size = max(1, round(frame.width * aspect)), frame.height
    return size[::-1] if _turn(frame) in SIDEWAYS else size


def _turn(frame: VideoFrame) -> Image.Transpose | None:
    """Return how a frame must be turned or mirrored to be shown."""
    matrix = bytes(frame.side_data.get("DISPLAYMATRIX") or b"")
    if len(matrix) != MATRIX.size:
        return None
    a, b, _, c, d, *_ = MATRIX.unpack(matrix)
    least = max(map(abs, (a, b, c, d))) / 2
    return TURNS.get(tuple((value > least) - (value < -least) for value in (a, b, c, d)))


def _reduce(size: tuple[int, int]) -> tuple[int, int]:
    scale = min(1.0, math.sqrt(MAX_PIXELS / (size[0] * size[1])))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def _limit_this_process() -> None:
    try:
        import resource
    except ImportError:  # Windows has no such limits
        return
    resource.setrlimit(resource.RLIMIT_AS, (TRIAL_BYTES, TRIAL_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (TRIAL_CPU_SECONDS, TRIAL_CPU_SECONDS))


if __name__ == "__main__":
    _limit_this_process()
    try:
        describe(sys.argv[1])
    except ValueError as error:
        print(error)
        sys.exit(1)
