"""What the page, the API and the downloads answer: their types and tables, written once.

Predictions become plain dictionaries here; `app.py` hands them to API clients as they are, the tabs
show them, and `to_csv` writes them down. A running page states these types as JSON Schema under
/gradio_api/info. Knows no Gradio and no pictures.
"""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Literal, TypedDict

from emotion_detective.detective import Prediction
from emotion_detective.model import LABELS, Classifier
from emotion_detective.timeline import Timeline
from emotion_detective.words import summary

# Of all types below. Programs rely on them: whoever adds, renames or retypes a field, or changes
# what it means, raises this number, in the docstrings of app.py's endpoints too.
SCHEMA_VERSION = 1
Label = Literal["angry", "fearful", "happy", "neutral", "sad", "surprised"]
# A spreadsheet takes a cell that starts like this for a formula and runs it (OWASP, CSV injection).
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class ModelAnswer(TypedDict):
    """Which checkpoint answered: its Hub id or folder name, and its commit if it has one."""

    id: str
    revision: str | None


class Probabilities(TypedDict):
    """How likely each emotion is; they sum to 1."""

    angry: float
    fearful: float
    happy: float
    neutral: float
    sad: float
    surprised: float


class FaceAnswer(TypedDict):
    """One face; `box` is [left, top, right, bottom] in pixels of the picture as shown.

    `detection` is how sure it is that this is a face, `confidence` the largest probability.
    """

    box: list[float]
    detection: float
    label: Label
    confidence: float
    unsure: bool
    probabilities: Probabilities


class PictureAnswer(TypedDict):
    """What `/predict` returns; the largest face comes first."""

    model: ModelAnswer
    faces: list[FaceAnswer]
    message: str


class Row(TypedDict):
    """One face of one file, or one file without a face or that could not be read."""

    file: str
    status: Literal["ok", "no_face", "unreadable"]
    face: int | None
    box: list[float] | None
    label: Label | None
    confidence: float | None
    angry: float | None
    fearful: float | None
    happy: float | None
    neutral: float | None
    sad: float | None
    surprised: float | None


class VideoRow(TypedDict):
    """One face in one frame; `track` is the same number for the same face over time."""

    time_s: float
    track: int
    box: list[float]
    label: Label
    confidence: float
    angry: float
    fearful: float
    happy: float
    neutral: float
    sad: float
    surprised: float


class Shares(TypedDict, total=False):
    """The share of time of each emotion over all faces, an unsure answer for itself; or no face."""

    angry: float
    fearful: float
    happy: float
    neutral: float
    sad: float
    surprised: float
    unsure: float


# What a file system allows; a name is written once for every face.
MAX_NAME_LETTERS = 255
FILE_COLUMNS = tuple(Row.__annotations__)


def model_answer(classifier: Classifier) -> ModelAnswer:
    """Return which checkpoint this is."""
    return {"id": classifier.name, "revision": classifier.revision}


def picture_answer(classifier: Classifier, predictions: Sequence[Prediction]) -> PictureAnswer:
    """Return the answer for one picture."""
    return {
        "model": model_answer(classifier),
        "faces": [_face_answer(prediction) for prediction in predictions],
        "message": summary(predictions),
    }


def _face_answer(prediction: Prediction) -> FaceAnswer:
    return {
        "box": list(prediction.box_xyxy),
        "detection": prediction.detection_probability,
        "label": prediction.label,
        "confidence": prediction.confidence,
        "unsure": prediction.unsure,
        "probabilities": dict(zip(LABELS, prediction.probabilities, strict=True)),
    }


def file_rows(file: str, predictions: Sequence[Prediction]) -> list[Row]:
    """Return one row for each face of a file that was read, or one that says it has none."""
    if not predictions:
        return [_empty_row(file, "no_face")]
    return [
        {
            "file": file,
            "status": "ok",
            "face": number,
            "box": list(prediction.box_xyxy),
            "label": prediction.label,
            "confidence": prediction.confidence,
            **dict(zip(LABELS, prediction.probabilities, strict=True)),
        }
        for number, prediction in enumerate(predictions, start=1)
    ]


def unreadable_row(file: str) -> Row:
    """Return the row of a file that could not be read."""
    return _empty_row(file, "unreadable")


def _empty_row(file: str, status: str) -> Row:
    return {**dict.fromkeys(Row.__annotations__), "file": file, "status": status}


def video_rows(timeline: Timeline) -> list[VideoRow]:
    """Return one row for each face in each frame."""
    return timeline.table().to_dict("records")


def to_csv(rows: Iterable[Row]) -> str:
    """Return rows as CSV text: a box is a JSON list, and no cell can be a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, FILE_COLUMNS)
    writer.writeheader()
    writer.writerows({name: _cell(value) for name, value in row.items()} for row in rows)
    return text.getvalue()


def _cell(value: object) -> object:
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list):  # a box
        return json.dumps([round(number, 1) for number in value])
    if isinstance(value, str) and value.startswith(FORMULA_STARTS):
        return f"'{value}"
    return value
