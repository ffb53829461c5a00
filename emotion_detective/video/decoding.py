"""Video file -> upright pictures with their times. Knows no faces; used by follow.py.

    decoding.refuse_bombs(path)                   # first, for files of strangers
    decoding.describe(path)                       # Video(size, duration_s), or ValueError: no video
    for time_s, picture in decoding.frames(path, rate_hz=5): ...

PyAV decodes, with the FFmpeg inside its wheel; `upright.py` makes pictures of the frames. Frames
have their own times, as a phone's rate varies, counted from the file's start as players do; the
length that a file states only serves progress bars. A few frames are held at a time; closing the
generator closes the file. Run as a program, this module is the process in which `refuse_bombs`
tries a file.
"""

import math
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageSequence, UnidentifiedImageError

from emotion_detective.video.upright import MAX_PIXELS, shown_size, to_picture

# A phone's 1080p at 17 Mbit/s fills this in two and a half minutes.
MAX_FILE_BYTES = 300_000_000
MAX_SECONDS = 600.0
# 8K with a little room. The decoder has the same limit, before it takes the memory.
MAX_FRAME_PIXELS = 8192 * 4608
# All frames together: ten minutes of 4K at 30 a second, about three minutes of work for two cores.
MAX_DECODED_PIXELS = 600 * 30 * 3840 * 2160
# Limits of a file until its first frame. A header of a kilobyte can state a billion frames, and
# FFmpeg lists them before it looks for the first.
TRIAL_BYTES, TRIAL_CPU_SECONDS, TRIAL_SECONDS = 2_000_000_000, 20, 120
TOO_DEAR = (
    f"The video takes more than {TRIAL_BYTES / 1e9:g} GB or {TRIAL_CPU_SECONDS} seconds to open; "
    "save it again as mp4 or webm."
)
NO_PICTURE = "The video has no picture that can be read; record or save it again."
# Above 4K the decoder has one thread: each keeps frames of its own.
MAX_THREADED_PIXELS = 4096 * 2304
MIN_RATE_HZ, MAX_RATE_HZ = 0.1, 30.0
# For files whose frames have no times.
USUAL_RATE_HZ = 25.0
# Times are rounded, to milliseconds in a browser's webm: a frame may come early by this fraction of
# the time between two.
EARLY_FRACTION = 0.1
# A file that ends so long before its stated end was cut short.
SHORT_BY_S, SHORT_BY_FRACTION = 1.0, 0.1

# Formats that hold a video by themselves; a playlist (hls, concat) has other files read.
FORMATS = "mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,avi,mpegts,mpeg,flv,ogg,asf,gif,apng"
OPEN_OPTIONS = {"format_whitelist": FORMATS, "protocol_whitelist": "file"}
MILLISECONDS = Fraction(1, 1000)


@dataclass(frozen=True)
class Video:
    """Width and height in pixels as shown (upright), and the length that the file states."""

    size: tuple[int, int]
    duration_s: float | None


def refuse_bombs(path: Path | str) -> None:
    """Open a file in a process of its own, with the TRIAL limits on its time and memory."""
    command = [sys.executable, "-m", "emotion_detective.video.decoding", str(Path(path).resolve())]
    root = Path(__file__).parents[2]
    try:
        trial = subprocess.run(
            command, cwd=root, capture_output=True, text=True, timeout=TRIAL_SECONDS
        )
    except subprocess.TimeoutExpired as error:
        raise ValueError(TOO_DEAR) from error
    if trial.returncode:
        raise ValueError(trial.stdout.strip() or TOO_DEAR)


def check_rate(rate_hz: float) -> None:
    """Raise a ValueError unless `rate_hz` is a number of frames a second within the limits."""
    if not isinstance(rate_hz, int | float) or not MIN_RATE_HZ <= rate_hz <= MAX_RATE_HZ:
        raise ValueError(
            f"The rate must be a number between {MIN_RATE_HZ} and {MAX_RATE_HZ} frames a second, "
            f"not {str(rate_hz)[:20]}."
        )


def describe(path: Path | str) -> Video:
    """Return the size and the stated length of a video."""
    with _open(path) as (container, stream):
        _, first = next(_decode(container, stream, lambda notice: None), (0.0, None))
        if first is None:
            raise ValueError(NO_PICTURE)
        return Video(shown_size(first, stream), _find_stated_seconds(container, stream, first.time))


def frames(
    path: Path | str,
    rate_hz: float,
    max_seconds: float = MAX_SECONDS,
    on_notice: Callable[[str], None] = lambda notice: None,
) -> Iterator[tuple[float, Image.Image]]:
    """Yield `(time_s, picture)`, at most `rate_hz` a second; sound may start before the first.

    Pictures are RGB, upright, all of the first one's size, `upright.MAX_PIXELS` at most; where a
    phone was turned while it recorded, the others stand between black bars. A damaged or cut file
    yields what can be read; `on_notice` gets a sentence about what is missing.
    """
    check_rate(rate_hz)
    with _open(path) as (container, stream):
        due_s, time_s, start_s, size, pixels = 0.0, None, None, None, 0
        early_s = EARLY_FRACTION / rate_hz
        for time_s, frame in _decode(container, stream, on_notice):
            pixels += frame.width * frame.height
            if time_s > max_seconds or pixels > MAX_DECODED_PIXELS:
                read_s = min(time_s, max_seconds)
                on_notice(f"Only the first {read_s:g} seconds of the video were read.")
                return
            start_s = frame.time if start_s is None else start_s
            size = size or _reduced(shown_size(frame, stream))
            if time_s >= due_s - early_s:
                due_s = (int((time_s + early_s) * rate_hz) + 1) / rate_hz
                yield time_s, to_picture(frame, stream, size)
        if time_s is None:
            raise ValueError(NO_PICTURE)
        stated_s = _find_stated_seconds(container, stream, start_s) or 0.0
        if stated_s - time_s > max(SHORT_BY_S, SHORT_BY_FRACTION * stated_s):
            on_notice(
                f"The file states a length of {stated_s:.0f} seconds but its pictures end after "
                f"{time_s:.0f}: it may be cut short."
            )


def _reduced(size: tuple[int, int]) -> tuple[int, int]:
    """Return a size of the same shape with `MAX_PIXELS` at most; a smaller one as it is."""
    scale = min(1, math.sqrt(MAX_PIXELS / (size[0] * size[1])))
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


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
        # With "file:", as a name such as "concat:a|b" is an address by itself.
        source = _rewrite_webp(path) or f"file:{path}"
        container = av.open(source, options=dict(OPEN_OPTIONS), metadata_errors="replace")
    except (av.error.FFmpegError, OSError, EOFError, Image.DecompressionBombError) as error:
        raise ValueError(
            f"The file ({size} bytes) is no video that can be read, or it is broken at its start; "
            "mp4, mov, webm and animations (GIF, WebP, APNG) can be read."
        ) from error
    with container:
        videos = container.streams.video
        covers = [one for one in videos if one.disposition & Disposition.attached_pic]
        stream = next((one for one in videos if one not in covers), None)
        if stream is None:
            raise ValueError("The file has no picture, only sound at best; choose a video.")
        if stream.codec_context is None:
            raise ValueError(
                "The video is in a format that cannot be read; save it as mp4 or webm."
            )
        _prepare_decoder(stream)
        yield container, stream


def _rewrite_webp(path: Path | str) -> BytesIO | None:
    """Return an animated WebP, which FFmpeg does not decode, as a film; None for other files."""
    try:
        animation = Image.open(path, formats=("WEBP",))
    except UnidentifiedImageError:
        return None
    rewritten = BytesIO()
    with animation, av.open(rewritten, "w", format="matroska") as output:
        stream = output.add_stream("ffv1")
        stream.width, stream.height = animation.size
        stream.pix_fmt, stream.codec_context.time_base = "bgr0", MILLISECONDS
        time_ms = 0
        for picture in ImageSequence.Iterator(animation):
            frame = VideoFrame.from_image(picture.convert("RGB"))
            frame.pts, frame.time_base = time_ms, MILLISECONDS
            output.mux(stream.encode(frame))
            time_ms += picture.info.get("duration") or 100  # as browsers do
        output.mux(stream.encode())
    rewritten.seek(0)
    return rewritten


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
    """Yield the frames that can be decoded, with times from the file's start that never fall."""
    start_s, last_s = None, 0.0
    step_s = 1 / float(stream.average_rate or USUAL_RATE_HZ)
    damaged = 0
    for packet in _demux(container, stream, on_notice):
        try:
            decoded = packet.decode()
        except av.error.FFmpegError:
            damaged += 1
            continue
        for frame in decoded:
            stated_s = frame.time if frame.time is not None else last_s + step_s
            start_s = _find_start(container, stated_s) if start_s is None else start_s
            last_s = max(last_s, stated_s - start_s)
            yield last_s, frame
    if damaged:
        on_notice(f"Parts of the video are damaged: {damaged} of its pieces were left out.")


def _demux(
    container: InputContainer, stream: VideoStream, on_notice: Callable[[str], None]
) -> Iterator[av.Packet]:
    try:
        yield from container.demux(stream)
    except av.error.FFmpegError:
        on_notice("The video is damaged: it could be read only up to there.")


def _find_start(container: InputContainer, first_s: float) -> float:
    """Return the time of the file at which a player begins: its sound may start before it."""
    if container.start_time is None:
        return first_s
    return min(first_s, max(0.0, container.start_time / av.time_base))


def _find_stated_seconds(
    container: InputContainer, stream: VideoStream, first_s: float | None
) -> float | None:
    """Return the length that the file states, of pictures that begin at `first_s`."""
    first_s = first_s or 0.0
    start_s = _find_start(container, first_s)
    if stream.duration and stream.time_base:
        seconds = float(stream.duration * stream.time_base) + first_s - start_s
    else:
        seconds = (container.duration or 0) / av.time_base
    if container.format.name in ("matroska,webm", "asf") and seconds > start_s:
        seconds -= start_s  # these state the time of their end
    return seconds if seconds > 0 else None


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
