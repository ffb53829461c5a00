"""Faces and probabilities meet in the right order."""

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.detective import EmotionDetective, ServedDetective, compute
from emotion_detective.core.faces import FaceDetector


@pytest.fixture(scope="module")
def detective(tiny_checkpoint) -> EmotionDetective:
    return EmotionDetective.from_pretrained(tiny_checkpoint)


def test_a_portrait_gives_one_prediction_in_label_order(detective, astronaut):
    (prediction,) = detective.analyze(astronaut)
    left, top, right, bottom = prediction.box_xyxy
    assert 160 < left < right < 290 and 40 < top < bottom < 190
    assert prediction.detection_probability > 0.99
    assert all(type(value) is float for value in prediction.probabilities)
    assert len(prediction.probabilities) == len(LABELS)
    assert sum(prediction.probabilities) == pytest.approx(1, abs=1e-5)
    assert prediction.confidence == max(prediction.probabilities)
    assert prediction.label == LABELS[np.argmax(prediction.probabilities)]


def test_a_picture_without_a_face_gives_an_empty_list(detective):
    assert detective.analyze(Image.new("RGB", (200, 150), "teal")) == []


def test_whole_picture_classifies_the_picture_itself(detective):
    pixels = np.random.default_rng(0).integers(0, 256, (48, 48), np.uint8)
    picture = Image.fromarray(pixels)
    (prediction,) = detective.analyze(picture, whole_picture=True)
    expected = detective.classifier.probabilities([picture])[0]
    np.testing.assert_allclose(prediction.probabilities, expected, atol=1e-6)
    assert prediction.box_xyxy == (0, 0, 48, 48)


def test_unsure_is_confidence_below_the_checkpoints_threshold(detective, astronaut):
    (before,) = detective.analyze(astronaut)
    for threshold, unsure in [(before.confidence, False), (before.confidence + 1e-6, True)]:
        classifier = dataclasses.replace(detective.classifier, unsure_below=threshold)
        (after,) = EmotionDetective(classifier, detective.detector).analyze(astronaut)
        assert after.unsure is unsure
        assert after.probabilities == pytest.approx(before.probabilities, abs=1e-6)


def test_threads_that_ask_at_once_are_answered_from_one(
    detective, tiny_checkpoint, astronaut, monkeypatch
):
    served, threads = ServedDetective.from_pretrained(tiny_checkpoint), []

    def note(owner: type, name: str) -> None:
        function = getattr(owner, name)
        here = threading.current_thread
        monkeypatch.setattr(owner, name, lambda *a: threads.append(here()) or function(*a))

    note(FaceDetector, "find")
    note(Classifier, "probabilities")
    with ThreadPoolExecutor(4) as visitors:
        answers = list(visitors.map(served.analyze, [astronaut] * 8))
    assert len(threads) == 16 and len(set(threads)) == 1
    assert answers == answers[:1] * 8
    ((answer,), *_), (alone,) = answers, detective.analyze(astronaut)
    assert answer.probabilities == pytest.approx(alone.probabilities, abs=1e-5)


def test_what_went_wrong_reaches_who_asked(tiny_checkpoint):
    with pytest.raises(ValueError, match="No folder"):
        ServedDetective.from_pretrained("nowhere at all")
    served = ServedDetective.from_pretrained(tiny_checkpoint)
    with pytest.raises(ValueError, match="is an SVG drawing, which is not read"):
        served.analyze(b"<svg>")
    assert served.analyze(Image.new("RGB", (50, 50))) == []
    assert compute(max, 1, 2) == 2


def test_a_cut_picture_is_analyzed_and_its_gap_logged(detective, astronaut, caplog):
    file = BytesIO()
    astronaut.save(file, "JPEG")
    (prediction,) = detective.analyze(file.getvalue()[:-2000])
    assert prediction.detection_probability > 0.99
    (line,) = caplog.messages
    assert line.startswith("The file is cut short or damaged: only ")


def test_a_predictions_crop_is_what_was_classified(detective, astronaut):
    (prediction,) = detective.analyze(astronaut)
    (row,) = detective.classifier.probabilities([prediction.crop(astronaut)])
    assert row == pytest.approx(prediction.probabilities, abs=1e-5)


@pytest.mark.parametrize("cls", [EmotionDetective, ServedDetective])
def test_a_face_on_its_side_is_read_as_if_it_stood(tiny_checkpoint, astronaut, cls):
    detective = cls.from_pretrained(tiny_checkpoint)
    (upright,) = detective.analyze(astronaut)
    (lying,) = detective.analyze(astronaut.transpose(Image.Transpose.ROTATE_90))
    assert (upright.rotation_degrees, lying.rotation_degrees) == (0, 90)
    assert lying.probabilities == pytest.approx(upright.probabilities, abs=1e-4)
    left, top, right, bottom = upright.box_xyxy
    assert lying.box_xyxy == pytest.approx((top, 512 - right, bottom, 512 - left), abs=0.01)
