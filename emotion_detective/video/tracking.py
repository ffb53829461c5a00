"""Boxes over time -> track numbers: which face is which from frame to frame. Used by timeline.py.

Each face is expected where its last velocity takes it. SciPy's `linear_sum_assignment` pairs boxes
with expected places so that the sum of all distances is least.

The tracker knows where faces are, not who they are. Of 100 pairs that pass at different heights, 97
keep their numbers at 2 frames a second and all at 3 and more; of 100 that pass right through each
other 70 do at 5 frames a second and 63 at 10 (`crossing_numbers` in tests/video/test_tracking.py).
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

# A box may belong to a track whose expected place is nearer than this, in sides of the face; a face
# twice as large or small counts as 0.7 sides away.
MATCH_DISTANCE = 1.5
# Time constant of a velocity. A longer one keeps shaking boxes apart, a shorter one follows a face
# that turns back.
VELOCITY_S = 0.3
# Two frames at the same time have no velocity between them.
MIN_STEP_S = 0.001

BoxXyxy = tuple[float, float, float, float]


@dataclass(frozen=True)
class Track:
    """A face when last seen: `place` is x, y, width, height in pixels, `velocity` x, y per s."""

    number: int
    time_s: float
    place: np.ndarray
    velocity: np.ndarray

    def expected(self, time_s: float) -> np.ndarray:
        """Return the expected place at a time, `x, y, width, height`."""
        return self.place + (time_s - self.time_s) * np.append(self.velocity, (0, 0))

    def move(self, time_s: float, place: np.ndarray) -> "Track":
        """Return the track after the face was seen at a new place."""
        step_s = max(time_s - self.time_s, MIN_STEP_S)
        surprise = (place - self.expected(time_s))[:2] / step_s
        weight = -np.expm1(-step_s / VELOCITY_S)
        return Track(self.number, time_s, place, self.velocity + weight * surprise)


class FaceTracker:
    """Numbers for faces, from 1 in the order of their first frames."""

    def __init__(self, forget_after_s: float) -> None:
        self._forget_after_s = forget_after_s
        self._time_s = 0.0
        self._tracks: dict[int, Track] = {}
        self._count = 0

    def follow(self, elapsed_s: float, boxes: Sequence[BoxXyxy]) -> list[int]:
        """Return the track of each box of a frame that comes `elapsed_s` after the last one."""
        self._time_s += elapsed_s
        oldest_s = self._time_s - self._forget_after_s
        self._tracks = {n: track for n, track in self._tracks.items() if track.time_s >= oldest_s}
        places = [_to_place(box) for box in boxes]
        known = self._match(places)
        for i, place in enumerate(places):
            if i in known:
                track = known[i].move(self._time_s, place)
            else:
                self._count += 1
                track = Track(self._count, self._time_s, place, np.zeros(2))
            known[i] = self._tracks[track.number] = track
        return [known[i].number for i in range(len(places))]

    def _match(self, places: list[np.ndarray]) -> dict[int, Track]:
        """Return the track of each place that has one, by the place's index."""
        tracks = list(self._tracks.values())
        if not tracks or not places:
            return {}
        expected = np.stack([track.expected(self._time_s) for track in tracks])
        distances = _measure_distances(np.stack(places), expected)
        # All distances that are too far count the same, so that they do not push near ones apart.
        pairs = zip(*linear_sum_assignment(distances.clip(max=MATCH_DISTANCE)), strict=True)
        return {int(i): tracks[j] for i, j in pairs if distances[i, j] < MATCH_DISTANCE}


def _to_place(box_xyxy: BoxXyxy) -> np.ndarray:
    left, top, right, bottom = box_xyxy
    return np.array([(left + right) / 2, (top + bottom) / 2, right - left, bottom - top])


def _measure_distances(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return `(N, K)` distances in sides of a face between rows of `x, y, width, height`."""
    found_side = np.sqrt(np.maximum(found[:, 2:], 1.0).prod(axis=1))[:, None]
    expected_side = np.sqrt(np.maximum(expected[:, 2:], 1.0).prod(axis=1))[None, :]
    apart = np.linalg.norm(found[:, None, :2] - expected[None, :, :2], axis=2)
    return apart / np.sqrt(found_side * expected_side) + np.abs(np.log(found_side / expected_side))
