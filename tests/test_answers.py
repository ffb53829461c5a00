"""Predictions as dictionaries and CSV."""

import csv
import io
import json
import re
from typing import Literal, get_type_hints

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emotion_detective import answers
from emotion_detective.detective import Prediction
from emotion_detective.model import LABELS

FACE = Prediction(
    (1.0, 2.0, 30.25, 40.0), 0.995, "happy", 0.5, False, (0.1, 0.1, 0.5, 0.1, 0.1, 0.1)
)


# What programs were promised. Whoever changes a type changes this too, and SCHEMA_VERSION with it.
VERSION_1 = {
    answers.PictureAnswer: {
        "model": answers.ModelAnswer,
        "faces": list[answers.FaceAnswer],
        "message": str,
    },
    answers.ModelAnswer: {"id": str, "revision": str | None},
    answers.FaceAnswer: {
        "box": list[float],
        "detection": float,
        "label": Literal[LABELS],
        "confidence": float,
        "unsure": bool,
        "probabilities": answers.Probabilities,
    },
    answers.Probabilities: dict.fromkeys(LABELS, float),
    answers.Row: {
        "file": str,
        "status": Literal["ok", "no_face", "unreadable"],
        "face": int | None,
        "box": list[float] | None,
        "label": Literal[LABELS] | None,
        "confidence": float | None,
        **dict.fromkeys(LABELS, float | None),
    },
    answers.VideoRow: {
        "time_s": float,
        "track": int,
        "box": list[float],
        "label": Literal[LABELS],
        "confidence": float,
        **dict.fromkeys(LABELS, float),
    },
    answers.Shares: dict.fromkeys((*LABELS, "unsure"), float),
}


@pytest.mark.parametrize("kind", VERSION_1, ids=lambda kind: kind.__name__)
def test_types_are_those_that_their_version_promised(kind):
    assert answers.SCHEMA_VERSION == 1
    assert list(get_type_hints(kind).items()) == list(VERSION_1[kind].items())


def test_the_columns_hold_the_labels_in_order():
    assert ("file", "status", "face", "box", "label", "confidence", *LABELS) == answers.FILE_COLUMNS
    assert tuple(answers.VideoRow.__annotations__)[-6:] == LABELS


def test_a_file_with_faces_has_a_row_for_each():
    rows = answers.file_rows("a.jpg", [FACE, FACE])
    assert [row["face"] for row in rows] == [1, 2]
    assert tuple(rows[0]) == answers.FILE_COLUMNS
    assert rows[0]["box"] == [1.0, 2.0, 30.25, 40.0]
    assert rows[0]["happy"] == rows[0]["confidence"] == 0.5


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        (answers.file_rows("a.jpg", []), "no_face"),
        ([answers.unreadable_row("a.jpg")], "unreadable"),
    ],
)
def test_a_file_without_an_answer_has_a_row_that_says_so(rows, status):
    assert rows == [dict.fromkeys(answers.FILE_COLUMNS) | {"file": "a.jpg", "status": status}]


def test_csv_can_be_read_back():
    text = answers.to_csv(answers.file_rows('a "b", c.jpg', [FACE]))
    (row,) = csv.DictReader(text.splitlines())
    assert row["file"] == 'a "b", c.jpg'
    assert json.loads(row["box"]) == [1.0, 2.0, 30.2, 40.0]
    assert float(row["happy"]) == 0.5


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("a\r=cmd|'/C calc'!A0.png")
def test_no_cell_of_the_csv_starts_a_formula(name):
    text = answers.to_csv([answers.unreadable_row(name)])
    _, row = csv.reader(io.StringIO(text, newline=""))  # one row, whatever the name
    assert row[0] in (name, f"'{name}")
    assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    # What ends a row for a spreadsheet, which a quoted line break does not.
    assert re.sub('"[^"]*"', "", text).count("\r") == 2
