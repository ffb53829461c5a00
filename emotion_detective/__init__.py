"""Emotion Detective: six calibrated emotion probabilities for every face in a picture.

    from emotion_detective import EmotionDetective

Six rooms, listed in docs/architecture.md; imports go from left to right (`tests/test_rooms.py`):
`inference` <- `video`, `evaluation` <- `training` <- `publish`; `page` sees `video` and
`inference`. The three names below load torch when they are first asked for, not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emotion_detective.inference.detective import EmotionDetective, Prediction
    from emotion_detective.inference.labels import LABELS

__all__ = ["LABELS", "EmotionDetective", "Prediction"]

_ROOMS = {"EmotionDetective": "detective", "Prediction": "detective", "LABELS": "labels"}


def __getattr__(name: str) -> object:
    if name not in _ROOMS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.inference.{_ROOMS[name]}"), name)
