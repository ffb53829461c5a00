"""Metrics and calibration against values worked out by hand or by scikit-learn."""

import json

import numpy as np
import pytest
from scipy.special import softmax
from sklearn import metrics as sklearn_metrics
from small import one_hot_like, write_votes

from emotion_detective import LABELS
from emotion_detective.core.loading import load_classifier
from emotion_detective.evaluation import metrics
from emotion_detective.training import export

TEST_SPLIT_SIZE = 3534  # FER2013's PrivateTest without disgusted


def calibrated(n: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Logits and labels drawn from their softmax: calibrated at temperature 1 by construction."""
    generator = np.random.default_rng(seed)
    logits = generator.normal(scale=2.0, size=(n, len(LABELS)))
    cumulative = softmax(logits, axis=1).cumsum(axis=1)
    labels = (generator.random((n, 1)) > cumulative).sum(axis=1).clip(max=len(LABELS) - 1)
    return logits, labels


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.5])
def test_temperature_undoes_a_known_scaling(temperature):
    logits, labels = calibrated(40_000)
    fitted = metrics.fit_temperature(logits * temperature, np.eye(6)[labels])
    assert fitted == pytest.approx(temperature, rel=0.02)
    # The same from what a crowd says of each image.
    fitted = metrics.fit_temperature(logits * temperature, softmax(logits, axis=1))
    assert fitted == pytest.approx(temperature, rel=1e-3)


def test_calibration_error_of_a_hand_computed_example():
    # Bins of 1/15: 0.95 and 0.97 share one (accuracy 1/2), 0.55 is alone (accuracy 1).
    probabilities = one_hot_like([0, 1, 2], [0.95, 0.97, 0.55])
    labels = np.array([0, 5, 2])
    expected = 2 / 3 * abs(0.96 - 0.5) + 1 / 3 * abs(0.55 - 1.0)
    judged = metrics.judge(probabilities, labels)
    assert metrics.calibration_error(*judged) == pytest.approx(expected)
    count, confidence, accuracy = metrics.reliability_bins(*judged)
    assert count.tolist() == [0] * 8 + [1] + [0] * 5 + [2]
    assert (confidence[14], accuracy[14]) == (pytest.approx(0.96), 0.5)


def test_scores_equal_those_of_scikit_learn():
    logits, labels = calibrated(500)
    probabilities = softmax(logits, axis=1)
    found = metrics.compute_metrics(probabilities, labels, 0.5)
    predicted = probabilities.argmax(axis=1)
    expected = sklearn_metrics.precision_recall_fscore_support(labels, predicted)
    for *scores, per_class in zip(*expected, found["per_class"].values(), strict=True):
        names = ("precision", "recall", "f1", "support")
        assert [per_class[name] for name in names] == pytest.approx(scores)
    assert found["macro_f1"] == pytest.approx(expected[2].mean())
    assert found["accuracy"] == pytest.approx((predicted == labels).mean())
    assert found["nll"] == pytest.approx(-np.log(probabilities[np.arange(500), labels]).mean())


def test_an_absent_class_scores_zero_and_breaks_nothing():
    found = metrics.compute_metrics(one_hot_like([0, 0, 2], [0.9] * 3), [0, 0, 2], 0.5)
    assert found["macro_f1"] == found["per_class"]["angry"]["f1"] == 1
    sad = found["per_class"]["sad"]
    assert (sad["support"], sad["recall"], sad["f1_interval"]) == (0, 0, [0, 0])


def test_intervals_are_as_wide_as_theory_says_and_repeat():
    logits, labels = calibrated(800)
    first = metrics.compute_metrics(softmax(logits, axis=1), labels, 0.5)
    assert first == metrics.compute_metrics(softmax(logits, axis=1), labels, 0.5)
    # An interval of a fraction p of n faces: 2 * 1.96 * sqrt(p (1 - p) / n).
    (low, high), p = first["accuracy_interval"], first["accuracy"]
    assert low < p < high
    assert high - low == pytest.approx(3.92 * np.sqrt(p * (1 - p) / 800), rel=0.1)
    for scores in first["per_class"].values():
        assert scores["f1_interval"][0] < scores["f1"] < scores["f1_interval"][1]


def test_most_confused_pairs_are_sorted_and_shared_by_true_label():
    labels = np.array([1] * 10 + [4] * 5)
    predicted = [1] * 4 + [4] * 6 + [4] * 3 + [3] * 2
    found = metrics.compute_metrics(one_hot_like(predicted, [0.9] * 15), labels, 0.5)
    assert found["most_confused"] == [
        {"true": "fearful", "predicted": "sad", "count": 6, "share": 0.6},
        {"true": "sad", "predicted": "neutral", "count": 2, "share": 0.4},
    ]


def test_threshold_answers_where_the_lower_limit_reaches_the_target():
    # 400 faces at 0.3 right half of the time, 400 at 0.6 and 0.9 right nine times in ten.
    confidence = [0.3] * 400 + [0.6] * 400 + [0.9] * 400
    right = ([True, False] * 200) + ([True] * 9 + [False]) * 80
    labels = np.array([0 if correct else 1 for correct in right])
    chosen = metrics.choose_unsure_threshold(one_hot_like([0] * 1200, confidence), labels)
    assert chosen == (0.31, pytest.approx(2 / 3), pytest.approx(0.9))


def test_threshold_leaves_room_for_noise():
    """A threshold chosen on one sample keeps its promise on another nine times in ten."""
    kept = 0
    for seed in range(20):
        logits, labels = calibrated(2 * TEST_SPLIT_SIZE, seed)
        probabilities = softmax(logits * 0.7, axis=1)
        validation, test = slice(TEST_SPLIT_SIZE), slice(TEST_SPLIT_SIZE, None)
        threshold, _, accuracy = metrics.choose_unsure_threshold(
            probabilities[validation], labels[validation]
        )
        assert accuracy >= metrics.ANSWERED_ACCURACY_TARGET
        found = metrics.compute_metrics(probabilities[test], labels[test], threshold)
        kept += found["answered_accuracy"] >= metrics.ANSWERED_ACCURACY_FLOOR
    assert kept >= 18


def test_a_few_lucky_faces_do_not_make_a_threshold():
    labels = np.array([0] * 5 + [1] * 200)  # the five surest are right, all others wrong
    probabilities = one_hot_like([0] * 205, [0.95] * 5 + [0.5] * 200)
    assert metrics.choose_unsure_threshold(probabilities, labels) == (1.0, 0.0, 0.0)


def test_clean_metrics_are_those_of_the_clean_rows():
    logits, labels = calibrated(300)
    probabilities = softmax(logits, axis=1)
    clean = np.arange(300) % 3 > 0
    found = metrics.split_metrics(probabilities, labels, clean, 0.5)
    assert found["n"] == 300
    assert found["clean"] == metrics.compute_metrics(probabilities[clean], labels[clean], 0.5)
    assert metrics.split_metrics(probabilities, labels, ~clean & clean, 0.5)["clean"] is None
    assert json.loads(json.dumps(found, allow_nan=False)) == found


def test_a_network_that_diverged_has_no_temperature():
    with pytest.raises(ValueError, match="training has diverged"):
        metrics.fit_temperature(np.full((2, 6), np.nan), np.eye(6)[[0, 1]])


def test_a_split_is_predicted_as_the_classifier_predicts_it(
    tiny_checkpoint, small_split, monkeypatch
):
    monkeypatch.setattr(export, "BATCH_SIZE", 5)
    classifier = load_classifier(tiny_checkpoint)
    probabilities, labels = export.predict_split(classifier, small_split)
    expected = classifier.probabilities(small_split[:]["image"])
    np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    assert labels.tolist() == small_split["label"]
    found = export.measure(classifier, small_split, "test")
    assert (found["n"], found["clean"]["n"]) == (12, 8)
    assert found["unsure_below"] == classifier.unsure_below
    assert found["accuracy"] == pytest.approx((expected.argmax(axis=1) == labels).mean())


def test_an_empty_split_says_so(tiny_checkpoint, small_split):
    with pytest.raises(ValueError, match="the split is empty"):
        export.measure(load_classifier(tiny_checkpoint), small_split.select([]), "test")


def test_with_votes_a_checkpoint_is_calibrated_on_what_people_see(
    tiny_checkpoint, small_split, tmp_path
):
    network = load_classifier(tiny_checkpoint).network
    predicted = export.loop.predict_logits(network, small_split, 64)[0].argmax(dim=1).tolist()
    seen = {"file": small_split["file"], "label": predicted}
    path = write_votes(tmp_path / "votes.csv", seen)
    by_labels = export.calibrate(network, small_split, 64)
    by_votes = export.calibrate(network, small_split, 64, path)
    assert (by_labels["against"], by_votes["against"]) == ("labels", "votes")
    assert by_labels["answered_accuracy"] < by_votes["answered_accuracy"] == 1
    assert by_votes["temperature"] < 1 < by_labels["temperature"]
