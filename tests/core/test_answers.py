"""Predictions as dictionaries and CSV."""

import csv
import io
import json
import re
from typing import Literal, get_type_hints

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from emotion_detective import LABELS
from emotion_detective.core.detective import Prediction
from emotion_detective.core.rows import (
    FILE_COLUMNS,
    SCHEMA_VERSION,
    Row,
    file_rows,
    to_csv,
    unreadable_row,
)
from emotion_detective.page import api

FACE = Prediction(
    (1.0, 2.0, 30.25, 40.0),
    0.995,
    label="happy",
    confidence=0.5,
    unsure=False,
    probabilities=(0.1, 0.1, 0.5, 0.1, 0.1, 0.1),
)


# What programs were promised. Whoever changes a type changes this too, and SCHEMA_VERSION with it.
VERSION_2 = {
    api.PictureAnswer: {
        "model": api.ModelAnswer,
        "faces": list[api.FaceAnswer],
        "message": str,
    },
    api.ModelAnswer: {"id": str, "revision": str | None},
    api.FaceAnswer: {
        "box": list[float],
        "detection": float,
        "label": Literal[LABELS],
        "confidence": float,
        "unsure": bool,
        "probabilities": api.Probabilities,
        "rotation": int,
        "landmarks": list[list[float]],
    },
    api.Probabilities: dict.fromkeys(LABELS, float),
    Row: {
        "file": str,
        "status": Literal["ok", "no_face", "unreadable"],
        "reason": str | None,
        "face": int | None,
        "box": list[float] | None,
        "detection": float | None,
        "label": Literal[LABELS] | None,
        "confidence": float | None,
        "unsure": bool | None,
        **dict.fromkeys(LABELS, float | None),
    },
    api.VideoRow: {
        "time_s": float,
        "track": int,
        "box": list[float],
        "label": Literal[LABELS],
        "confidence": float,
        "unsure": bool,
        **dict.fromkeys(LABELS, float),
    },
    api.Shares: dict.fromkeys((*LABELS, "unsure"), float),
}


@pytest.mark.parametrize("kind", VERSION_2, ids=lambda kind: kind.__name__)
def test_types_are_those_that_their_version_promised(kind):
    assert SCHEMA_VERSION == 2
    assert list(get_type_hints(kind).items()) == list(VERSION_2[kind].items())


def test_a_file_with_faces_has_a_row_for_each():
    rows = file_rows("a.jpg", [FACE, FACE])
    assert [row["face"] for row in rows] == [1, 2]
    assert tuple(rows[0]) == FILE_COLUMNS
    assert rows[0]["box"] == [1.0, 2.0, 30.25, 40.0]
    assert rows[0]["happy"] == rows[0]["confidence"] == 0.5
    assert (rows[0]["detection"], rows[0]["unsure"], rows[0]["reason"]) == (0.995, False, None)


def test_plain_data_of_a_prediction_is_what_the_api_states():
    plain = json.loads(json.dumps(FACE.to_dict()))
    assert plain == FACE.to_dict()
    assert list(plain) == list(VERSION_2[api.FaceAnswer])
    assert plain["probabilities"]["happy"] == 0.5


@pytest.mark.parametrize(
    ("rows", "status"),
    [
        (file_rows("a.jpg", []), "no_face"),
        ([unreadable_row("a.jpg", None)], "unreadable"),
    ],
)
def test_a_file_without_an_answer_has_a_row_that_says_so(rows, status):
    assert rows == [dict.fromkeys(FILE_COLUMNS) | {"file": "a.jpg", "status": status}]


def test_csv_can_be_read_back():
    text = to_csv(file_rows('a "b", c.jpg', [FACE]))
    (row,) = csv.DictReader(text.splitlines())
    assert row["file"] == 'a "b", c.jpg'
    assert json.loads(row["box"]) == [1.0, 2.0, 30.2, 40.0]
    assert float(row["happy"]) == 0.5


@settings(deadline=None)
@given(st.text(st.characters(exclude_categories=["Cs"])))
@example("a\r=cmd|'/C calc'!A0.png")
def test_no_cell_of_the_csv_starts_a_formula(name):
    text = to_csv([unreadable_row(name, "empty")])
    _, row = csv.reader(io.StringIO(text, newline=""))  # one row, whatever the name
    assert row[0] in (name, f"'{name}")
    assert not row[0].startswith(("=", "+", "-", "@", "\t", "\r", "\n"))
    # What ends a row for a spreadsheet, which a quoted line break does not.
    assert re.sub('"[^"]*"', "", text).count("\r") == 2
