"""The examples show on the embedded model what their cards promise."""

import pytest
from small import ROOT

from emotion_detective import LABELS, EmotionDetective

EXAMPLES = ROOT / "examples"


@pytest.fixture(scope="module")
def detective() -> EmotionDetective:
    return EmotionDetective.from_pretrained(ROOT / "models" / "emotion-detective-resnet50")


def test_a_portrait_a_blur_and_no_face(detective):
    (face,) = detective.analyze(EXAMPLES / "one_face.jpg")
    assert (face.label, face.unsure) == ("happy", False)
    (face,) = detective.analyze(EXAMPLES / "blurred.jpg")
    assert face.unsure
    assert detective.analyze(EXAMPLES / "no_face.jpg") == []


def test_six_people_show_every_emotion(detective):
    predictions = detective.analyze(EXAMPLES / "six_people.jpg")
    assert len(predictions) == len(LABELS)
    assert {prediction.label for prediction in predictions} == set(LABELS)
