"""What the Batch tab shows of many files."""

from dataclasses import replace

import pytest
from PIL import Image
from small import prediction

from emotion_detective import LABELS
from emotion_detective.core.rows import file_rows, unreadable_row
from emotion_detective.page import batch_view
from emotion_detective.page.batch_files import FileResult


@pytest.fixture
def results() -> list[FileResult]:
    """A file with two faces, one without, and one that cannot be read."""
    picture = Image.new("RGB", (400, 300))
    faces = [prediction("happy", 0.995), prediction("sad", 0.4, unsure=True)]
    return [
        FileResult(file_rows("<b>two</b>.jpg", faces), picture, faces),
        FileResult(file_rows("none.jpg", []), picture, [], "Only 60% of it could be read."),
        FileResult([unreadable_row("bad.jpg", "The file is empty.")], notice="The file is empty."),
    ]


def test_every_answer_is_one_kind(results):
    kinds = [batch_view.kinds(result) for result in results]
    assert kinds == [["happy", "unsure"], ["no face"], ["unreadable"]]


def test_the_totals_keep_their_order():
    totals = batch_view.totals({"unreadable": 1, "happy": 2})
    assert list(totals) == [*LABELS, "unsure", "no face", "unreadable"]
    assert [count for count in totals.values() if count] == [2, 1]


def test_a_card_has_picture_faces_and_what_is_missing(results):
    two, none, bad = map(batch_view.card, results)
    assert [one["kind"] for one in two["faces"]] == ["happy", "unsure"]
    assert two["faces"][0]["words"] == "happy 99%+"
    assert two["faces"][1]["percents"] == ["12%", "12%", "12%", "12%", "40%", "12%"]
    assert two["name"] == "<b>two</b>.jpg"  # text of JSON: batch.js makes text of it
    assert two["alt"].startswith("2 faces: 1 looks happy (99%+), 2 unsure between sad and ")
    assert two["picture"].startswith("data:image/jpeg;base64,")
    assert (none["kind"], none["notice"]) == ("no face", "Only 60% of it could be read.")
    assert (bad["kind"], bad["notice"], bad["picture"]) == (
        "unreadable",
        "The file is empty.",
        None,
    )


def test_a_card_says_that_its_faces_lie_on_their_side():
    lying = [replace(prediction("happy", 0.9), rotation_degrees=90)]
    result = FileResult(file_rows("a.jpg", lying), Image.new("RGB", (9, 9)), lying, "It is cut.")
    said = "Found with the picture turned by 90 degrees clockwise. It is cut."
    assert batch_view.card(result)["notice"] == said
