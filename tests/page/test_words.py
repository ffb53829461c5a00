"""Sentences about predictions, word for word."""

import dataclasses

import pytest

from emotion_detective import LABELS
from emotion_detective.core.detective import Prediction
from emotion_detective.page import words


def face(**shares: float) -> Prediction:
    """A prediction with these probabilities; unsure below one half."""
    probabilities = tuple(shares.get(label, 0.0) for label in LABELS)
    confidence = max(probabilities)
    label = LABELS[probabilities.index(confidence)]
    return Prediction(
        (0, 0, 9, 9),
        0.99,
        label=label,
        confidence=confidence,
        unsure=confidence < 0.5,
        probabilities=probabilities,
    )


HAPPY = face(happy=0.93, neutral=0.07)
TORN = face(sad=0.41, neutral=0.38, angry=0.21)


@pytest.mark.parametrize(
    ("predictions", "sentence"),
    [
        ([HAPPY], "1 face: it looks happy (93%)."),
        ([TORN], "1 face: unsure between sad and neutral."),
        ([HAPPY, TORN], "2 faces: 1 looks happy (93%), 2 unsure between sad and neutral."),
        ([HAPPY] * 3 + [TORN] * 2, "5 faces: 3 happy, 2 unsure."),
        ([face(angry=1.0)], "1 face: it looks angry (99%+)."),
    ],
)
def test_a_summary_names_few_faces_and_counts_many(predictions, sentence):
    assert words.summary(predictions) == sentence


@pytest.mark.parametrize(
    ("shares", "episodes", "said"),
    [
        ({"happy": 0.9, "surprised": 0.1}, {"surprised": 2}, "mostly looks happy, surprised twice"),
        ({"happy": 0.55, "sad": 0.45}, {"sad": 9}, "mostly looks happy, often sad"),
        ({"happy": 1.0, "sad": 0.0}, {"sad": 1}, "mostly looks happy"),
        ({"sad": 0.3, "unsure": 0.7}, {}, "often looks sad, unclear 70% of the time"),
        ({"sad": 0.1, "unsure": 0.9}, {"sad": 1}, "sometimes looks sad, unclear 90% of the time"),
        ({"unsure": 1.0}, {}, "shows no emotion clearly enough to name"),
        (
            {"neutral": 0.5, "happy": 0.2, "sad": 0.2, "angry": 0.1},
            {"happy": 1, "sad": 3, "angry": 1},
            "mostly looks neutral, happy once, sad 3 times",
        ),
        (
            {"neutral": 0.7, "happy": 0.1, "sad": 0.101, "angry": 0.1},
            {"sad": 1, "angry": 2},
            "mostly looks neutral, sad once, happy for a moment, angry twice",  # as often each
        ),
        (
            {"happy": 0.4, "sad": 0.4, "angry": 0.2},
            {"angry": 1},
            "often looks happy and sad, angry once",
        ),
    ],
)
def test_a_face_over_time_is_told_as_a_person_would(shares, episodes, said):
    assert words.over_time(shares, episodes) == said


def test_no_face_says_what_to_do():
    assert words.summary([]).startswith("No face found.")
    assert "read the whole picture as one face" in words.summary([])


def test_a_verdict_names_both_emotions_of_an_unsure_face():
    assert words.verdict(HAPPY) == "happy 93%"
    assert words.verdict(TORN) == "unsure: sad 41% or neutral 38%"


def test_a_picture_is_tallied_and_has_a_text_alternative():
    assert words.tally([]) == "No face found"
    assert words.tally([HAPPY]) == "1 face: happy"
    assert words.tally([HAPPY, TORN, HAPPY]) == "3 faces: 2 happy, 1 unsure"
    assert words.alternative([]) == "Your picture. No face was found in it."
    assert words.alternative([TORN]) == (
        "Your picture with a box around every face found. 1 face: unsure between sad and neutral."
    )


def test_how_often_an_answer_is_right_is_the_precision_and_names_what_it_is_taken_for():
    counts = [[0] * 6 for _ in LABELS]
    happy, sad, neutral = (LABELS.index(label) for label in ("happy", "sad", "neutral"))
    counts[happy][happy], counts[neutral][happy], counts[sad][happy] = 80, 15, 5
    metrics = {"test": {"confusion_matrix": counts}}
    assert words.often_right(HAPPY, metrics) == (
        'When this model answers "happy", it is right 80% of the time (80 of 100 test pictures); '
        "else the face is most often neutral."
    )
    assert words.often_right(face(sad=1.0), metrics) == (
        'On the test pictures this model never answered "sad".'
    )
    assert words.often_right(TORN, metrics) == ""
    votes = {"majority": metrics["test"]}
    by_voters = {"test": {"confusion_matrix": [[9] * 6] * 6, "votes": votes}}
    assert words.often_right(HAPPY, by_voters) == (
        'When this model answers "happy", most people agree 80% of the time (80 of 100 test '
        "pictures); else the face is most often neutral."
    )


def test_how_often_an_unsure_answer_is_right_is_said_too():
    metrics = {"test": {"accuracy": 0.7, "answered_share": 0.6, "answered_accuracy": 0.9}}
    assert words.often_right(TORN, metrics) == (
        "This model is unsure of 40% of its test pictures. Its first guess is then right 40% of "
        "the time: take it for a hint."
    )
    metrics["test"]["answered_share"] = 1.0
    assert words.often_right(TORN, metrics) == ""


def test_faces_that_lie_on_their_side_are_said_to():
    lying = [dataclasses.replace(face, rotation_degrees=270) for face in (HAPPY, TORN)]
    assert words.summary(lying) == (
        f"{words.summary([HAPPY, TORN])} Found with the picture turned by 270 degrees clockwise."
    )
    assert words.turned([]) == words.turned([HAPPY]) == ""


def test_a_batch_is_summed_up_with_what_was_left_out():
    rows = [
        {"file": "a.jpg", "status": "ok"},
        {"file": "a.jpg", "status": "ok"},
        {"file": "b.jpg", "status": "no_face"},
        {"file": "c.jpg", "status": "unreadable"},
    ]
    said = "3 files: 2 faces, 1 file without one, 1 that cannot be read."
    assert words.batch_summary(rows, files=3, left_out=0) == said
    cut = words.batch_summary(rows, files=3, left_out=0, cut_short=2)
    assert cut == f"{said[:-1]}, 2 cut short and read in part."
    assert words.batch_summary(rows, files=3, left_out=7) == f"{said} 7 more were left out."


@pytest.mark.parametrize(
    "metrics", [{}, {"test": None}, {"test": 0.5}, {"test": {"accuracy": 0.5}}]
)
@pytest.mark.parametrize("prediction", [HAPPY, TORN])
def test_metrics_of_another_program_say_nothing_of_how_often_it_is_right(metrics, prediction):
    assert words.often_right(prediction, metrics) == ""
