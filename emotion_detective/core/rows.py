"""One row a face: what `/analyze_batch`, the downloads and `train_hub.py analyze` write down.

A running page states the types as JSON Schema. Knows no pictures and no torch.
"""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypedDict

from emotion_detective import LABELS, Label

if TYPE_CHECKING:  # detective.py imports torch
    import pandas

    from emotion_detective.core.detective import Analyzed, Prediction

# Of all types below. Programs rely on them: whoever adds, renames or retypes a field, or changes
# what it means, raises this number, in the docstrings of app.py's endpoints too.
SCHEMA_VERSION = 2
# A spreadsheet takes a cell that starts like this for a formula and runs it (OWASP, CSV injection).
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")


class _File(TypedDict):
    file: str
    status: Literal["ok", "no_face", "unreadable"]
    reason: str | None
    face: int | None
    box: list[float] | None
    detection: float | None
    label: Label | None
    confidence: float | None
    unsure: bool | None


class Row(_File, TypedDict("Row", dict.fromkeys(LABELS, float | None))):
    """One face of one file, or one file without a face or that could not be read for a `reason`.

    What is known of a face has the names and values of `Prediction.to_dict`.
    """


# What a file system allows; a name is written once for every face.
MAX_NAME_CHARACTERS = 255
FILE_COLUMNS = tuple(Row.__annotations__)


def file_rows(file: str, predictions: Sequence["Prediction"]) -> list[Row]:
    """Return one row for each face of a file that was read, or one that says it has none."""
    if not predictions:
        return [_empty_row(file, "no_face")]
    return [
        _empty_row(file, "ok") | {"face": number} | _flat(prediction)
        for number, prediction in enumerate(predictions, start=1)
    ]


def unreadable_row(file: str, reason: str) -> Row:
    """Return the row of a file that could not be read."""
    return _empty_row(file, "unreadable") | {"reason": reason}


def analyzed_rows(file: str, one: "Analyzed") -> list[Row]:
    """Return the rows of an item of `analyze_many` as those of this file."""
    return [unreadable_row(file, one.error)] if one.error else file_rows(file, one.predictions)


def to_dataframe(analyzed: Iterable["Analyzed"]) -> "pandas.DataFrame":
    """Return the rows of what `analyze_many` yields, with the columns of `/analyze_batch`.

    A source that is no path is called by its number, from 1.
    """
    import pandas

    rows = []
    for number, one in enumerate(analyzed, start=1):
        name = str(one.source if isinstance(one.source, str | Path) else number)
        rows += analyzed_rows(name, one)
    return pandas.DataFrame(rows, columns=FILE_COLUMNS)


def _flat(prediction: "Prediction") -> dict:
    face = prediction.to_dict()
    return {name: face[name] for name in FILE_COLUMNS if name in face} | face["probabilities"]


def _empty_row(file: str, status: str) -> Row:
    return {**dict.fromkeys(Row.__annotations__), "file": file, "status": status}


def to_csv(rows: Iterable[Mapping], columns: Sequence[str] = FILE_COLUMNS) -> str:
    """Return rows as CSV text: a box is a JSON list, and no cell can be a formula."""
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
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
