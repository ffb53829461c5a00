"""The six labels, in the order of all probabilities. This file imports no torch; model.py does."""

from typing import Literal, get_args

Label = Literal["angry", "fearful", "happy", "neutral", "sad", "surprised"]
LABELS: tuple[str, ...] = get_args(Label)
