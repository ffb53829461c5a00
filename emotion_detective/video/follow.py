"""Video -> faces over time, and a copy of the video with the boxes drawn.

    for progress in follow.follow_faces(detective, path): ...   # the last one is the result
    for time_s in follow.annotate(path, timeline, target): ...  # at the end target is whole

Both are generators: closing one (as Gradio does when a visitor cancels or leaves) stops the work.
Neither keeps frames. `decoding.py` has the limits of files.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core.detective import EmotionDetective, Prediction
from emotion_detective.core.drawing import draw_faces
from emotion_detective.core.faces import SURE_PROBABILITY
from emotion_detective.video.decoding import (
    MAX_RATE_HZ,
    MAX_SECONDS,
    check_rate,
    describe,
    frames,
    refuse_bombs,
)
from emotion_detective.video.timeline import FORGET_AFTER_S, MAX_HOLD_S, Reading, Timeline

DEFAULT_RATE_HZ = 4.0
# A row is one face in one frame: 10 minutes at 5 frames a second with 16 faces.
MAX_ROWS = 50_000
# A track must outlive a few missed frames when they are far apart.
FORGET_AFTER_FRAMES = 3
MOMENT_SIDE_PX = 640
PORTRAIT_SIDE_PX = 112
# A new portrait is taken of a face that is larger than the last one by this factor.
PORTRAIT_GAIN = 1.3

TIME_BASE = Fraction(1, 90_000)
# H.264 plays nearly everywhere, VP8 in browsers that come without it; both write 720p faster than
# it is drawn.
CODECS = {
    ".mp4": ("libx264", {"crf": "23", "preset": "veryfast"}),
    ".webm": ("libvpx", {"crf": "20", "b": "4M", "deadline": "realtime", "cpu-used": "8"}),
}
MIN_CODEC_SIDE_PX = 16


@dataclass(frozen=True)
class Moment:
    """The strongest frame of one emotion, at most `MOMENT_SIDE_PX` a side, with its box drawn."""

    reading: Reading
    picture: Image.Image


@dataclass(frozen=True)
class Progress:
    """The state of an analysis; the last one is the result.

    `time_s` is the time of the last frame, and `fraction` the part of the video before it, None if
    the file states no length. `timeline` is the same object in all, with boxes in pixels of the
    video as shown; `size` is the video's width and height. `moments` are in the order of labels;
    `portraits`, by track, are faces at their largest, squares of `PORTRAIT_SIDE_PX` at most.
    """

    timeline: Timeline
    time_s: float
    fraction: float | None
    moments: tuple[Moment, ...]
    notices: tuple[str, ...]
    size: tuple[int, int]
    portraits: Mapping[int, Image.Image] = field(default_factory=dict)


def follow_faces(
    detective: EmotionDetective, path: Path | str, rate_hz: float = DEFAULT_RATE_HZ
) -> Iterator[Progress]:
    """Find and classify the faces of a video, yielding after every frame."""
    check_rate(rate_hz)
    refuse_bombs(path)
    shown = describe(path)
    stated_s = min(shown.duration_s or 0.0, MAX_SECONDS)
    timeline = Timeline(
        LABELS,
        unsure_below=detective.classifier.unsure_below,
        forget_after_s=max(FORGET_AFTER_S, FORGET_AFTER_FRAMES / rate_hz),
        max_rows=MAX_ROWS,
    )
    progress = Progress(timeline, 0.0, 0.0 if stated_s else None, (), (), shown.size)
    notices: list[str] = []
    reader, portraits = _Reader(detective), _Portraits()
    for time_s, picture in frames(path, rate_hz, MAX_SECONDS, notices.append):
        faces = reader.read(picture)
        readings = timeline.add(time_s, _resize_boxes(faces, picture.size, shown.size))
        portraits.look(picture, faces, [one.track for one in readings])
        fraction = min(time_s / stated_s, 1.0) if stated_s else None
        moments = _collect_moments(progress.moments, timeline, picture, shown.size)
        progress = Progress(
            timeline, time_s, fraction, moments, tuple(notices), shown.size, portraits.by_track
        )
        yield progress
        if timeline.dropped_frames:
            notices.append(f"Stopped after {time_s:.1f} seconds: {MAX_ROWS} faces are the limit.")
            break
    if reader.rotation_degrees:
        degrees = reader.rotation_degrees
        notices.append(f"Found with the video turned by {degrees} degrees clockwise.")
    yield replace(progress, fraction=1.0, notices=tuple(notices))


def annotate(path: Path | str, timeline: Timeline, target: Path | str) -> Iterator[float]:
    """Write a silent mp4 or webm with the boxes of the timeline; yield the seconds reached.

    `target` is whole once the generator is exhausted; closed before, it removes `target`. Frames
    have `upright.MAX_PIXELS` at most and the times of `path`, up to the timeline's end.
    """
    shown = describe(path)
    until_s = timeline.frames[-1].time_s + MAX_HOLD_S if timeline.frames else MAX_SECONDS
    is_whole = False
    try:
        kind = Path(target).suffix
        options = {"movflags": "faststart"} if kind == ".mp4" else {}
        with av.open(str(target), "w", format=kind[1:], options=options) as output:
            stream, pts = None, 0  # the first picture from 0 on, where players begin a silent file
            for time_s, picture in frames(path, MAX_RATE_HZ, min(until_s, MAX_SECONDS)):
                stream = stream or _add_stream(output, kind, picture.size)
                readings = timeline.at(time_s)
                boxes = _resize_boxes([one.shown for one in readings], shown.size, picture.size)
                drawn = draw_faces(picture, boxes, [one.track for one in readings])
                frame = VideoFrame.from_image(drawn.crop((0, 0, stream.width, stream.height)))
                frame.pts, frame.time_base = pts and round(time_s / TIME_BASE), TIME_BASE
                pts = 1
                output.mux(stream.encode(frame))
                yield time_s
            output.mux(stream.encode())
        is_whole = True
    finally:
        if not is_whole:
            Path(target).unlink(missing_ok=True)


def _resize_boxes(
    faces: Sequence[Prediction], size: tuple[int, int], to_size: tuple[int, int]
) -> list[Prediction]:
    """Return the faces with boxes for the same picture at another size."""
    across, down = to_size[0] / size[0], to_size[1] / size[1]
    return [
        replace(face, box_xyxy=(left * across, top * down, right * across, bottom * down))
        for face in faces
        for left, top, right, bottom in [face.box_xyxy]
    ]


def _collect_moments(
    known: tuple[Moment, ...], timeline: Timeline, picture: Image.Image, size: tuple[int, int]
) -> tuple[Moment, ...]:
    """Return the timeline's key moments, those of its last frame cut from `picture`."""
    moments = {one.reading: one for one in known}
    readings = timeline.key_moments()
    return tuple(moments.get(one) or _make_moment(one, picture, size) for one in readings)


def _make_moment(reading: Reading, picture: Image.Image, size: tuple[int, int]) -> Moment:
    small = picture.copy()
    small.thumbnail((MOMENT_SIDE_PX, MOMENT_SIDE_PX))
    faces = _resize_boxes([reading.shown], size, small.size)
    return Moment(reading, draw_faces(small, faces, [reading.track]))


class _Reader:
    """Reads the frames of a film; of one that lies on its side or head, in every turn.

    That takes four times as long: until a face is sure, it is tried at the 1st, 2nd, 4th ... frame.
    """

    def __init__(self, detective: EmotionDetective) -> None:
        self.rotation_degrees: int | None = None  # None: not known yet
        self._detective = detective
        self._frames = 0

    def read(self, picture: Image.Image) -> list[Prediction]:
        self._frames += 1
        is_due = self.rotation_degrees is None and self._frames.bit_count() == 1
        upright_only = not (self.rotation_degrees or is_due)
        faces = self._detective.analyze(picture, upright_only=upright_only)
        if self.rotation_degrees is None:
            sure = (one for one in faces if one.detection_probability >= SURE_PROBABILITY)
            self.rotation_degrees = next((one.rotation_degrees for one in sure), None)
        return faces


class _Portraits:
    """Each track's face, cut out where it was largest."""

    def __init__(self) -> None:
        self.by_track: dict[int, Image.Image] = {}
        self._sides_px: dict[int, float] = {}

    def look(
        self, picture: Image.Image, faces: Sequence[Prediction], tracks: Sequence[int]
    ) -> None:
        """Take portraits of the tracks whose faces are new, or nearer than in their portrait."""
        for track, face in zip(tracks, faces, strict=True):
            side_px = face.box_xyxy[3] - face.box_xyxy[1]
            if side_px > PORTRAIT_GAIN * self._sides_px.get(track, 0.0):
                self._sides_px[track] = side_px
                portrait = face.crop(picture).copy()
                portrait.thumbnail((PORTRAIT_SIDE_PX, PORTRAIT_SIDE_PX))
                self.by_track[track] = portrait


def _add_stream(output: OutputContainer, kind: str, size: tuple[int, int]) -> VideoStream:
    codec, options = CODECS[kind]
    stream = output.add_stream(codec, options=options)
    # H.264 with halved colour needs even sides.
    stream.width, stream.height = (max(side // 2 * 2, MIN_CODEC_SIDE_PX) for side in size)
    stream.pix_fmt = "yuv420p"
    stream.codec_context.time_base = TIME_BASE
    return stream
