"""What the page, the API and the downloads answer: their types and tables, written once.

Predictions become plain dictionaries here; `app.py` hands them to API clients as they are, the tabs
show them, and `to_csv` writes them down. A running page states these types as JSON Schema under
/gradio_api/info. Knows no Gradio and no pictures.
"""

from collections.abc import Sequence
from typing import TypedDict

from emotion_detective import LABELS, Label
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.detective import Prediction
from emotion_detective.page.words import summary
from emotion_detective.video.timeline import UNSURE, Timeline


class ModelAnswer(TypedDict):
    """Which checkpoint answered: its Hub id or folder name, and its commit if it has one."""

    id: str
    revision: str | None


class Probabilities(TypedDict("Probabilities", dict.fromkeys(LABELS, float))):
    """How likely each emotion is; they sum to 1."""


class FaceAnswer(TypedDict):
    """One face; `box` is [left, top, right, bottom] in pixels of the picture as shown.

    `detection` is how sure it is that this is a face, `confidence` the largest probability. The
    face stands upright once the picture is rotated clockwise by `rotation` degrees; `landmarks` are
    [x, y] of the eyes, the nose and the corners of the mouth.
    """

    box: list[float]
    detection: float
    label: Label
    confidence: float
    unsure: bool
    probabilities: Probabilities
    rotation: int
    landmarks: list[list[float]]


class PictureAnswer(TypedDict):
    """What `/predict` returns; the largest face comes first."""

    model: ModelAnswer
    faces: list[FaceAnswer]
    message: str


class _Moment(TypedDict):
    time_s: float
    track: int
    box: list[float]
    label: Label
    confidence: float
    unsure: bool


class VideoRow(_Moment, Probabilities):
    """One face in one frame; `track` is the same number for the same face over time."""


_Shares = TypedDict("_Shares", dict.fromkeys((*LABELS, UNSURE), float), total=False)


class Shares(_Shares, total=False):  # said again: Gradio asks each class for its own
    """The share of time of each emotion over all faces, an unsure answer for itself; or no face."""


def picture_answer(
    classifier: Classifier, predictions: Sequence[Prediction], notice: str = ""
) -> PictureAnswer:
    """Return the answer for one picture; `notice` says what of its file could not be read."""
    return {
        "model": {"id": classifier.name, "revision": classifier.revision},
        "faces": [prediction.to_dict() for prediction in predictions],
        "message": f"{summary(predictions)} {notice}".rstrip(),
    }


def video_rows(timeline: Timeline) -> list[VideoRow]:
    """Return one row for each face in each frame."""
    return timeline.table().to_dict("records")
