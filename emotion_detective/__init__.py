"""Emotion Detective: six calibrated emotion probabilities for every face in a picture.

    from emotion_detective import EmotionDetective

The rooms are listed in docs/architecture.md; imports go one way (`tests/test_rooms.py`). The six
labels are the contract of all of them and stand here. `EmotionDetective` and `Prediction` load
torch when they are first asked for, not before.

Importing this package forbids its dependencies to send anything about this process, its children
or their user, whatever the environment says. SECURITY.md lists what each of them would send.
"""

import logging
import os
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Literal, get_args

if onnxruntime := sys.modules.get("onnxruntime"):
    onnxruntime.disable_telemetry_events()
    if os.environ.get("ORT_DISABLE_TELEMETRY") != "1":
        logging.getLogger(__name__).warning(
            "onnxruntime was imported before emotion_detective and may already send what it knows "
            "of this machine. Import emotion_detective first, or set ORT_DISABLE_TELEMETRY=1."
        )
# Most of them read the environment once, when they are imported: this file runs before they are.
os.environ |= {
    "ORT_DISABLE_TELEMETRY": "1",
    "HF_HUB_DISABLE_TELEMETRY": "1",  # transformers and Gradio's client ask for it, too
    "HF_XET_TELEMETRY_ENABLED": "0",
    "HF_UPDATE_DOWNLOAD_COUNTS": "0",
    "GRADIO_ANALYTICS_ENABLED": "False",
}

if TYPE_CHECKING:
    from emotion_detective.core.detective import EmotionDetective, Prediction
    from emotion_detective.core.rows import to_dataframe

__all__ = ["LABELS", "EmotionDetective", "Prediction", "to_dataframe"]

Label = Literal["angry", "fearful", "happy", "neutral", "sad", "surprised"]
# In the order of all probabilities.
LABELS: tuple[str, ...] = get_args(Label)

_FOLDER = Path(__file__).resolve().parent
# Where app.py, train_hub.py, models/ and examples/ lie: a wheel carries them inside the package.
HOME = _FOLDER / "home" if (_FOLDER / "home").is_dir() else _FOLDER.parent
# The checkpoint that comes with the package.
EMBEDDED = HOME / "models" / "emotion-detective-resnet50"


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    room = "rows" if name == "to_dataframe" else "detective"
    return getattr(import_module(f"{__name__}.core.{room}"), name)
