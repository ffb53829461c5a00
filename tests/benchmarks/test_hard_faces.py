"""Hard faces: what is altered is the face and nothing else, and the table tells each accuracy."""

import hard_faces
import pytest
import torch

from emotion_detective.core.loading import load_classifier
from emotion_detective.training.export import predict_split


def test_every_other_face_is_tilted_to_the_other_side():
    images = torch.zeros(2, 1, 48, 48)
    images[..., :24, 22:26] = 1.0  # a hand that points to twelve
    right, left = hard_faces.tilt(images, 45)[:, 0]
    torch.testing.assert_close(right, left.flip(1), atol=1e-4, rtol=0)
    assert left[12, 12] + right[12, 12] == pytest.approx(1.0, abs=0.1)  # half past ten or one
    torch.testing.assert_close(hard_faces.tilt(images, 0.0), images)


def test_faces_as_they_are_are_answered_as_evaluate_does(tiny_checkpoint, parts):
    split = parts["validation"]
    classifier = load_classifier(tiny_checkpoint)
    probabilities, labels = predict_split(classifier, split)
    found = hard_faces.accuracies(classifier, split)
    assert found.keys() == hard_faces.CONDITIONS.keys()
    assert found["as they are"] == (probabilities.argmax(axis=1) == labels).mean()
    assert found == hard_faces.accuracies(classifier, split)  # the same glasses again


def test_a_size_near_the_network_s_own_is_answered_as_the_network_answers_it(
    tiny_checkpoint, parts, monkeypatch
):
    split = parts["validation"]
    classifier = load_classifier(tiny_checkpoint)
    monkeypatch.setattr(hard_faces, "SIZES", (64, 32))
    found = hard_faces.accuracies_by_size(classifier, split)
    probabilities, labels = predict_split(classifier, split)
    assert list(found) == ["64 px", "32 px"]
    assert found["64 px"] == pytest.approx((probabilities.argmax(axis=1) == labels).mean())


def test_the_table_has_a_row_a_model():
    result = hard_faces.report.origin("d")
    sizes = {f"{size} px": size / 100 for size in hard_faces.SIZES}
    result["models"] = {"one": dict.fromkeys(hard_faces.CONDITIONS, 0.5) | sizes}
    text = "\n".join(hard_faces.markdown(result))
    assert f"| one |{7 * ' 50.0% |'}" in text
    assert "| one | 80.0% | 88.0% | 96.0% | 104.0% | 112.0% |" in text
