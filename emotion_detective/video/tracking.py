"""Boxes over time -> track numbers: which face is which from frame to frame. Used by timeline.py.

The tracker is norfair (PyPI `norfair-enough`, the maintained fork): a Kalman filter a face, and the
nearest pair of box and track first. 0.4 MB, and it needs nothing that Gradio, matplotlib and
scikit-learn do not bring. Roboflow's `trackers` (ByteTrack) needs OpenCV, 150 MB; `supervision` has
dropped its tracker; motpy rests since 2021.

It knows where faces are, not who they are. Two that pass at different heights keep their numbers at
2 frames a second and more; two that pass right through each other swapped them in 8 of 20 runs at
10 frames a second and in 5 of 20 at 5 (tests/test_tracking.py, `crossing_numbers`).
"""

import math
from collections.abc import Sequence

import numpy as np
from norfair import Detection, Tracker
from norfair.distances import VectorizedDistance

# norfair counts frames; a fixed number of its steps a second lets it see irregular times. 20 is
# finer than any rate at which faces are detected here.
TICKS_PER_SECOND = 20
# A face belongs to a track if it is nearer than this to where the track should be by now, in sides
# of the face; a face twice as large or small counts as 0.7 sides away.
MATCH_DISTANCE = 1.5

BoxXyxy = tuple[float, float, float, float]


class FaceTracker:
    """Numbers faces from 1 in the order of their first frames; can be copied and pickled."""

    def __init__(self, forget_after_s: float) -> None:
        self._memory_ticks = max(1, math.ceil(forget_after_s * TICKS_PER_SECOND))
        self._tracker = Tracker(
            "euclidean",  # in pixels; replaced below by one that knows how large a face is
            distance_threshold=MATCH_DISTANCE,
            hit_counter_max=self._memory_ticks,
            initialization_delay=0,
            past_detections_length=0,
        )
        self._tracker.distance_function = VectorizedDistance(_distances)

    def follow(self, elapsed_s: float, boxes: Sequence[BoxXyxy]) -> list[int]:
        """Return the track of each box of a frame that comes `elapsed_s` after the last one."""
        ticks = max(1, round(elapsed_s * TICKS_PER_SECOND))
        # Past its memory the tracker has forgotten everyone: more steps would change nothing.
        for _ in range(min(ticks - 1, self._memory_ticks + 1)):
            self._tracker.update()
        detections = [Detection(_centre_and_size(box), data=i) for i, box in enumerate(boxes)]
        # A period of the whole memory makes every track live that long after its last frame.
        followed = self._tracker.update(detections, period=self._memory_ticks)
        tracks = {one.last_detection.data: one.id for one in followed if one.live_points.any()}
        return [tracks[i] for i in range(len(boxes))]


def _centre_and_size(box_xyxy: BoxXyxy) -> np.ndarray:
    """Return `((x, y), (width, height))`: predicted apart, a size can't turn inside out."""
    left, top, right, bottom = box_xyxy
    return np.array([[(left + right) / 2, (top + bottom) / 2], [right - left, bottom - top]])


def _distances(found: np.ndarray, expected: np.ndarray) -> np.ndarray:
    """Return `(N, K)` distances in sides of a face between rows of `x, y, width, height`."""
    found_side = np.sqrt(np.maximum(found[:, 2:], 1.0).prod(axis=1))[:, None]
    expected_side = np.sqrt(np.maximum(expected[:, 2:], 1.0).prod(axis=1))[None, :]
    apart = np.linalg.norm(found[:, None, :2] - expected[None, :, :2], axis=2)
    return apart / np.sqrt(found_side * expected_side) + np.abs(np.log(found_side / expected_side))
