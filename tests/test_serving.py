"""Tests of `emotion_detective.serving`: whichever threads ask, one runs the networks."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from PIL import Image

from emotion_detective import detective as plain
from emotion_detective.detective import EmotionDetective
from emotion_detective.serving import ServedDetective, compute


@pytest.fixture
def computed_in(monkeypatch) -> set[str]:
    """The names of the threads that load a checkpoint, find faces or classify."""
    names = set()

    def noted(owner, name: str) -> None:
        function = getattr(owner, name)

        def call(*args, **kwargs):
            names.add(threading.current_thread().name)
            return function(*args, **kwargs)

        monkeypatch.setattr(owner, name, call)

    noted(plain, "load_classifier")
    noted(plain.faces.FaceDetector, "detect")
    noted(plain.Classifier, "probabilities")
    return names


def test_threads_that_ask_at_once_are_answered_from_one(computed_in, tiny_checkpoint, astronaut):
    served = ServedDetective.from_pretrained(tiny_checkpoint)
    with ThreadPoolExecutor(4) as visitors:
        answers = list(visitors.map(served.analyze, [astronaut] * 8))
    assert len(computed_in) == 1
    assert threading.current_thread().name not in computed_in
    assert answers == [EmotionDetective.from_pretrained(tiny_checkpoint).analyze(astronaut)] * 8


def test_what_went_wrong_reaches_who_asked(tiny_checkpoint):
    with pytest.raises(ValueError, match="No folder"):
        ServedDetective.from_pretrained("nowhere at all")
    served = ServedDetective.from_pretrained(tiny_checkpoint)
    with pytest.raises(ValueError, match="no picture that can be read"):
        served.analyze(b"<svg>")
    assert served.analyze(Image.new("RGB", (50, 50))) == []
    assert compute(max, 1, 2) == 2
