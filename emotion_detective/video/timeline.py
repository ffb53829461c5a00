"""Predictions over time: tracks, smoothing, frequencies, key moments, tables.

A `Timeline` belongs to one video or one live session. Frames are added in the order of time, and
everything else is computed from them. `Reading.prediction` is the model's for this frame: table,
CSV and frequencies use it. `Reading.shown` is smoothed, for what people watch: labels and key
moments. `tracking.py` numbers the faces.
"""

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd

from emotion_detective.core.detective import Prediction
from emotion_detective.core.rows import to_csv

# A face that is away for less keeps its track.
FORGET_AFTER_S = 2.0
# Time constant of the exponential smoothing of `shown`: a change of expression is 86% through after
# one second, and one odd frame at 5 frames a second moves the bars by a third.
SMOOTHING_S = 0.5
# A prediction holds until the next frame, but no longer than this.
MAX_HOLD_S = 2.0
# Two frames at the same time: the first would hold for no time, and its fractions would be 0 / 0.
MIN_HOLD_S = 0.001
# A row is one face in one frame, about 1 kB: an hour of one face at 5 frames a second.
MAX_ROWS = 20_000
UNSURE = "unsure"


@dataclass(frozen=True, slots=True)
class Reading:
    """One face in one frame: the model's `prediction`, and `shown`, the same smoothed over time."""

    time_s: float
    track: int
    prediction: Prediction
    shown: Prediction


@dataclass(frozen=True, slots=True)
class Frame:
    """The readings at one time; none where no face was found."""

    time_s: float
    readings: tuple[Reading, ...]


class Timeline:
    """The frames of one video or session; the oldest go where they hold more than `max_rows` faces.

    Args:
        labels: names of the probabilities, in their order.
        unsure_below: a smoothed prediction of less confidence is unsure.
        forget_after_s: a face that is away for longer comes back as a new track.
    """

    def __init__(
        self,
        labels: Sequence[str],
        *,
        unsure_below: float = 0.0,
        forget_after_s: float = FORGET_AFTER_S,
        max_rows: int = MAX_ROWS,
    ) -> None:
        # It imports scipy.optimize, 0.2 s that the first photo need not wait for.
        from emotion_detective.video.tracking import FaceTracker

        self.labels = tuple(labels)
        self.unsure_below = unsure_below
        self.forget_after_s = forget_after_s
        self.max_rows = max_rows
        self.frames: deque[Frame] = deque()
        self.dropped_frames = 0
        self._rows = 0
        self._tracker = FaceTracker(forget_after_s)
        self._best: dict[str, Reading] = {}
        self._last: dict[int, Reading] = {}  # of each track that may still go on

    def add(self, time_s: float, predictions: Sequence[Prediction]) -> tuple[Reading, ...]:
        """Add one frame and return one reading a prediction, in the same order."""
        before = self.frames[-1].time_s if self.frames else time_s
        if not math.isfinite(time_s) or time_s < before:
            raise ValueError(
                f"Frames must come in the order of time: {time_s} s cannot follow {before} s."
            )
        boxes = [prediction.box_xyxy for prediction in predictions]
        tracks = self._tracker.follow(time_s - before, boxes)
        readings = tuple(
            Reading(time_s, track, prediction, self._smooth(time_s, track, prediction))
            for track, prediction in zip(tracks, predictions, strict=True)
        )
        oldest = time_s - self.forget_after_s
        kept = {track: last for track, last in self._last.items() if last.time_s >= oldest}
        self._last = kept | {reading.track: reading for reading in readings}
        for reading in readings:
            self._remember_best(reading)
        self._append(Frame(time_s, readings))
        return readings

    def _smooth(self, time_s: float, track: int, prediction: Prediction) -> Prediction:
        last = self._last.get(track)
        if last is None:
            return prediction
        weight = 1 - math.exp(-(time_s - last.time_s) / SMOOTHING_S)
        new, old = np.array(prediction.probabilities), np.array(last.shown.probabilities)
        probabilities = tuple((weight * new + (1 - weight) * old).tolist())
        confidence = max(probabilities)
        return replace(
            prediction,
            label=self.labels[probabilities.index(confidence)],
            confidence=confidence,
            unsure=confidence < self.unsure_below,
            probabilities=probabilities,
        )

    def _append(self, frame: Frame) -> None:
        self.frames.append(frame)
        self._rows += _count_rows(frame)
        while self._rows > self.max_rows and len(self.frames) > 1:
            self._rows -= _count_rows(self.frames.popleft())
            self.dropped_frames += 1

    @property
    def readings(self) -> list[Reading]:
        """All readings, by time."""
        return [reading for frame in self.frames for reading in frame.readings]

    @property
    def tracks(self) -> list[int]:
        """The numbers of all tracks, ascending."""
        return sorted({reading.track for reading in self.readings})

    @property
    def duration_s(self) -> float:
        """Seconds from the first to the last frame held."""
        return self.frames[-1].time_s - self.frames[0].time_s if self.frames else 0.0

    def table(self) -> pd.DataFrame:
        """Return a row a face and frame.

        The columns are `time_s, track, box, label, confidence, unsure`, and one for each label.
        `box` is `[left, top, right, bottom]` in whole pixels of the picture as shown.
        """
        columns = ["time_s", "track", "box", "label", "confidence", "unsure", *self.labels]
        rows = []
        for one in self.readings:
            face, box = one.prediction, [round(side) for side in one.prediction.box_xyxy]
            about = (one.time_s, one.track, box, face.label, face.confidence, face.unsure)
            rows.append((*about, *face.probabilities))
        return pd.DataFrame(rows, columns=columns)

    def csv(self) -> str:
        """Return the table as CSV text with a header line; `box` is a JSON list."""
        table = self.table()
        return to_csv(table.to_dict("records"), table.columns)

    def frequencies(self) -> pd.DataFrame:
        """Return `track, seconds, <labels>, unsure`: fractions of the time that a track was seen.

        A prediction counts until the next frame (`MAX_HOLD_S` at most), an unsure one as `unsure`
        and no emotion. The fractions of a row sum to 1.
        """
        held = pd.DataFrame(self._list_hold_times(), columns=["track", "emotion", "seconds"])
        columns = [*self.labels, UNSURE]
        seconds = held.pivot_table("seconds", "track", "emotion", aggfunc="sum", fill_value=0.0)
        seconds = seconds.reindex(columns=columns, fill_value=0.0)
        total = seconds.sum(axis=1)
        fractions = seconds.div(total, axis=0)
        fractions.insert(0, "seconds", total)
        return fractions.rename_axis(columns=None).reset_index()

    def overall_frequencies(self) -> dict[str, float]:
        """Return the fraction of each label and of `unsure` over all tracks, {} without a face."""
        table = self.frequencies()
        if table.empty:
            return {}
        columns = [*self.labels, UNSURE]
        seconds = table[columns].mul(table["seconds"], axis=0).sum()
        return (seconds / seconds.sum()).to_dict()

    def _list_hold_times(self) -> list[tuple[int, str, float]]:
        gaps = [b.time_s - a.time_s for a, b in pairwise(self.frames)]
        usual = float(np.median(gaps)) if gaps else MAX_HOLD_S  # for the last: nothing follows it
        seconds = np.clip([*gaps, usual], MIN_HOLD_S, MAX_HOLD_S).tolist()
        return [
            (r.track, UNSURE if r.prediction.unsure else r.prediction.label, held)
            for frame, held in zip(self.frames, seconds, strict=False)
            for r in frame.readings
        ]

    def key_moments(self) -> list[Reading]:
        """Return the reading of each label that is the most confident as shown, in label order.

        They outlive the frames that `max_rows` drops.
        """
        return [self._best[label] for label in self.labels if label in self._best]

    def _remember_best(self, reading: Reading) -> None:
        best = self._best.setdefault(reading.shown.label, reading)
        if reading.shown.confidence > best.shown.confidence:
            self._best[reading.shown.label] = reading

    def at(self, time_s: float) -> list[Reading]:
        """Return what to draw at a time: the last readings, boxes on their way to the next frame's.

        A face that the next frame lacks stays where it was; `MAX_HOLD_S` after a frame there is
        nothing to draw.
        """
        after = bisect_right(self.frames, time_s, key=lambda frame: frame.time_s)
        if after == 0 or time_s - self.frames[after - 1].time_s > MAX_HOLD_S:
            return []
        now = self.frames[after - 1]
        if after == len(self.frames):
            return list(now.readings)
        following = self.frames[after]
        part = (time_s - now.time_s) / (following.time_s - now.time_s)
        later = {reading.track: reading.shown.box_xyxy for reading in following.readings}
        return [_move_box(reading, later.get(reading.track), part) for reading in now.readings]


def _move_box(reading: Reading, later_box: tuple[float, ...] | None, part: float) -> Reading:
    if later_box is None:
        return reading
    here = reading.shown.box_xyxy
    box = tuple(a + part * (b - a) for a, b in zip(here, later_box, strict=True))
    return replace(reading, shown=replace(reading.shown, box_xyxy=box))


def _count_rows(frame: Frame) -> int:
    return max(1, len(frame.readings))  # a frame without faces takes room too
