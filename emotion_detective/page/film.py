"""What the Video tab's player in the browser is given: a video's faces over time, as JSON.

    faces = film.over_time(progress.timeline)
    film.to_json(progress, faces)   # text for video.js, which draws boxes, chart and bars from it
    film.summarize(progress, faces)    # a sentence

Numbers are whole: places in 1/10,000 of the picture's sides, and so are probabilities. The text,
with pictures of faces in it, goes to the browser as a file, which is deleted as uploads are: what
an event returns Gradio would keep in memory for an hour. Knows no Gradio.
"""

import json
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from PIL import Image

from emotion_detective.page import html, words
from emotion_detective.video import follow
from emotion_detective.video.timeline import MAX_HOLD_S, Reading, Timeline

PLACES, SHARES = 10_000, 10_000
MOMENT_SIDE_PX = 320
# The faces seen longest; a film of a crowd has hundreds that flit by.
MAX_LISTED = 40
# An emotion that is back sooner never went, and one of fewer frames is no episode.
EPISODE_GAP_S, EPISODE_FRAMES = 1.0, 2


@dataclass(frozen=True)
class FaceInTime:
    """One track: for how long it was seen, the share of each emotion and "unsure", and in words."""

    track: int
    seconds: float
    shares: Mapping[str, float]
    words: str


def over_time(timeline: Timeline) -> list[FaceInTime]:
    """Return the faces of a video, those seen longest first."""
    readings: dict[int, list[Reading]] = defaultdict(list)
    for one in timeline.readings:
        readings[one.track].append(one)
    shares = timeline.frequencies().set_index("track").to_dict("index")
    faces = [
        FaceInTime(
            track,
            shares[track].pop("seconds"),
            shares[track],
            words.over_time(shares[track], episodes(seen)),
        )
        for track, seen in readings.items()
    ]
    return sorted(faces, key=lambda face: face.seconds, reverse=True)


def episodes(readings: Sequence[Reading]) -> Counter[str]:
    """Return how many times a face came to show each emotion, by its smoothed answers."""
    counts: Counter[str] = Counter()
    label, until_s, frames = None, 0.0, 0
    for one in readings:
        if one.shown.unsure:
            continue
        if one.shown.label != label or one.time_s - until_s > EPISODE_GAP_S:
            label, frames = one.shown.label, 0
        until_s, frames = one.time_s, frames + 1
        counts[label] += frames == EPISODE_FRAMES
    return counts


def summarize(progress: follow.Progress, faces: Sequence[FaceInTime]) -> str:
    """Return what stands above the player: how many faces, and what the visitor must know."""
    lead = f"{words.count(len(faces), 'face')} in {progress.timeline.duration_s:.1f} seconds."
    return " ".join([lead, *progress.notices])


def to_json(progress: follow.Progress, faces: Sequence[FaceInTime]) -> str:
    """Return all that the player shows of the faces of a video."""
    timeline, size = progress.timeline, progress.size
    listed = faces[:MAX_LISTED]
    content = {
        "size": size,
        "seconds": timeline.frames[-1].time_s,
        "hold": MAX_HOLD_S,
        "unsureBelow": round(timeline.unsure_below * SHARES),
        "frames": [
            [round(frame.time_s, 3), [_answer(one, size) for one in frame.readings]]
            for frame in timeline.frames
        ],
        "faces": [_face(face, progress.portraits[face.track]) for face in listed],
        "unlisted": len(faces) - len(listed),
        "moments": [_moment(one) for one in progress.moments],
    }
    return json.dumps(content, separators=(",", ":"))


def _answer(reading: Reading, size: tuple[int, int]) -> list[int]:
    """Return `track, left, top, right, bottom`, then a probability for each label."""
    box = zip(reading.shown.box_xyxy, size * 2, strict=True)
    places = [round(at / side * PLACES) for at, side in box]
    return [reading.track, *places, *(round(p * SHARES) for p in reading.shown.probabilities)]


def _face(face: FaceInTime, portrait: Image.Image) -> dict:
    shares = {emotion: round(share * SHARES) for emotion, share in face.shares.items()}
    about = {"track": face.track, "words": words.sentence(face.words), "shares": shares}
    return about | {"picture": html.picture_address(portrait)}


def _moment(moment: follow.Moment) -> dict:
    reading = moment.reading
    small = moment.picture.copy()
    small.thumbnail((MOMENT_SIDE_PX, MOMENT_SIDE_PX))
    about = {"track": reading.track, "time": reading.time_s}
    return about | {"picture": html.picture_address(small)}
