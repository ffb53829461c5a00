"""The examples show on the embedded model what their cards promise."""

import pytest
from small import ROOT

from emotion_detective import LABELS, EmotionDetective
from emotion_detective.page import film
from emotion_detective.video.follow import follow_faces

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def detective() -> EmotionDetective:
    return EmotionDetective.from_pretrained(ROOT / "models" / "emotion-detective-resnet50")


def test_a_portrait_a_face_to_be_unsure_of_and_no_face(detective):
    (face,) = detective.analyze(EXAMPLES / "one_face.jpg")
    assert (face.label, face.unsure) == ("happy", False)
    (face,) = detective.analyze(EXAMPLES / "surprised_or_neutral.jpg")
    likeliest = sorted(zip(face.probabilities, LABELS, strict=True))[-2:]
    assert face.unsure and {label for _, label in likeliest} == {"surprised", "neutral"}
    assert detective.analyze(EXAMPLES / "no_face.jpg") == []


def test_six_people_show_every_emotion(detective):
    predictions = detective.analyze(EXAMPLES / "six_people.jpg")
    assert len(predictions) == len(LABELS)
    assert {prediction.label for prediction in predictions} == set(LABELS)


def test_the_film_has_two_faces_that_change(detective):
    *_, progress = follow_faces(detective, EXAMPLES / "film.mp4")
    assert len(film.over_time(progress.timeline)) == 2
    for track in (1, 2):
        readings = [one for one in progress.timeline.readings if one.track == track]
        assert {"neutral", "happy", "surprised"} <= set(film.episodes(readings))
