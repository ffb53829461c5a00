"""Emotion Detective: six calibrated emotion probabilities for every face in a picture.

    from emotion_detective import EmotionDetective

The rooms are listed in docs/architecture.md; imports go one way (`tests/test_rooms.py`). The six
labels are the contract of all of them and stand here. `EmotionDetective` and `Prediction` load
torch when they are first asked for, not before.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Literal, get_args

if TYPE_CHECKING:
    from emotion_detective.core.detective import EmotionDetective, Prediction

__all__ = ["LABELS", "EmotionDetective", "Prediction"]

Label = Literal["angry", "fearful", "happy", "neutral", "sad", "surprised"]
# In the order of all probabilities.
LABELS: tuple[str, ...] = get_args(Label)


def __getattr__(name: str) -> object:
    if name not in ("EmotionDetective", "Prediction"):
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.core.detective"), name)
