"""The classifier: pictures in, six probabilities out."""

import numpy as np
from small import random_pictures

from emotion_detective.core import classifier as model
from emotion_detective.core import loading


def test_probabilities_are_six_a_picture_and_sum_to_one(tiny_checkpoint):
    classifier = loading.load_classifier(tiny_checkpoint)
    probabilities = classifier.probabilities(random_pictures("RGB", count=3))
    assert probabilities.shape == (3, 6)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert classifier.probabilities([]).shape == (0, 6)


def test_more_pictures_than_a_batch_come_back_in_order(tiny_checkpoint, monkeypatch):
    classifier = loading.load_classifier(tiny_checkpoint)
    pictures = random_pictures("L", count=5)
    at_once = classifier.probabilities(pictures)
    monkeypatch.setattr(model, "MAX_BATCH", 2)
    np.testing.assert_allclose(classifier.probabilities(pictures), at_once, atol=1e-6)
