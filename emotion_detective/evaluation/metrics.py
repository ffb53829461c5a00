"""Metrics and calibration of a checkpoint: probabilities and labels in, plain values out.

`export.py` calls `fit_temperature` and `choose_unsure_threshold` on validation and `split_metrics`
for the numbers of the card. Labels are indices into `LABELS`.
"""

import numpy as np
from scipy.optimize import minimize_scalar
from scipy.special import log_softmax
from scipy.stats import binomtest
from sklearn import metrics

from emotion_detective import LABELS

# 15 bins of equal width, as in Guo et al. 2017 (arXiv 1706.04599) and most papers since.
CALIBRATION_BINS = 15
# Far outside what training gives (0.5 to 3), so that the optimum is never at a border.
TEMPERATURE_RANGE = (0.05, 20.0)
# Of the predictions that are not unsure, this fraction must be right on validation, and the floor
# must be likely on other faces.
ANSWERED_ACCURACY_TARGET = 0.85
ANSWERED_ACCURACY_FLOOR = 0.8
# One-sided confidence in the floor. Simulated with n = 3534, the threshold keeps it on a second
# sample 90 times in 100; one that merely reaches the floor, 58 times.
THRESHOLD_CONFIDENCE = 0.95
THRESHOLD_STEP = 0.01
INTERVAL = (2.5, 97.5)  # percentiles of the bootstrap
BOOTSTRAP_SAMPLES = 2000
BOOTSTRAP_SEED = 0
MOST_CONFUSED_SHOWN = 10


def fit_temperature(logits: np.ndarray, targets: np.ndarray) -> float:
    """Return the temperature that minimises the cross-entropy of `logits / temperature`.

    `targets` `(N, 6)` are the labels as 0 and 1, or the fractions of voters. Source: Guo et al.
    2017, arXiv 1706.04599.
    """
    logits = np.asarray(logits, np.float64)
    if not np.isfinite(logits).all():
        raise ValueError(
            "The network's outputs are not finite: training has diverged. Lower its learning rate."
        )

    def loss(log_temperature: float) -> float:
        return -(targets * log_softmax(logits / np.exp(log_temperature), axis=1)).sum(axis=1).mean()

    return float(np.exp(minimize_scalar(loss, bounds=np.log(TEMPERATURE_RANGE)).x))


def choose_unsure_threshold(
    probabilities: np.ndarray, labels: np.ndarray
) -> tuple[float, float, float]:
    """Return the confidence below which a face is unsure, the fraction above it, their accuracy.

    It is the smallest at which accuracy reaches ANSWERED_ACCURACY_TARGET and the lower limit of its
    one-sided 95% Wilson interval ANSWERED_ACCURACY_FLOOR, so that a threshold which few faces pass
    does not win by luck. Where none does both it is 1.0: every face is unsure.
    """
    probabilities, labels = check_answers(probabilities, labels)
    confidence, correct = judge(probabilities, labels)
    for threshold in np.round(np.arange(0.0, 1.0, THRESHOLD_STEP), 2):
        fraction, accuracy = _score_answered(confidence, correct, threshold)
        if accuracy >= ANSWERED_ACCURACY_TARGET:
            answered = correct[confidence >= threshold]
            test = binomtest(int(answered.sum()), len(answered), alternative="greater")
            likely = test.proportion_ci(THRESHOLD_CONFIDENCE, method="wilson").low
            if likely >= ANSWERED_ACCURACY_FLOOR:
                return float(threshold), fraction, accuracy
    return 1.0, *_score_answered(confidence, correct, 1.0)


def compute_metrics(probabilities: np.ndarray, labels: np.ndarray, unsure_below: float) -> dict:
    """Return accuracy, macro-F1, per-class scores, calibration and confusions as plain values.

    They compare `(N, 6)` probabilities with `(N,)` labels. Intervals are 95% percentile bootstrap
    intervals over the faces, seeded.
    """
    probabilities, labels = check_answers(probabilities, labels)
    confidence, correct = judge(probabilities, labels)
    classes = range(len(LABELS))
    confusion = metrics.confusion_matrix(labels, probabilities.argmax(axis=1), labels=classes)
    scores, sampled = score_classes(confusion), score_classes(_bootstrap(confusion))
    present = confusion.any(axis=1)  # a class without images has no F1
    answered_share, answered_accuracy = _score_answered(confidence, correct, unsure_below)
    return {
        "n": len(labels),
        "accuracy": float(correct.mean()),
        "accuracy_interval": bootstrap_interval(correct),
        "macro_f1": float(scores["f1"][present].mean()),
        "macro_f1_interval": _to_interval(sampled["f1"][:, present].mean(axis=-1)),
        "per_class": {
            label: {
                "support": int(confusion[i].sum()),
                **{name: float(values[i]) for name, values in scores.items()},
                **{f"{name}_interval": _to_interval(sampled[name][:, i]) for name in scores},
            }
            for i, label in enumerate(LABELS)
        },
        "ece": calibration_error(confidence, correct),
        "nll": float(metrics.log_loss(labels, probabilities, labels=classes)),  # in nats
        "confusion_matrix": confusion.tolist(),
        "most_confused": find_most_confused(confusion),
        "unsure_below": float(unsure_below),
        "answered_share": answered_share,
        "answered_accuracy": answered_accuracy,
    }


def split_metrics(
    probabilities: np.ndarray, labels: np.ndarray, clean_mask: np.ndarray, unsure_below: float
) -> dict:
    """Return `compute_metrics` of all faces and, under "clean", of those in `clean_mask` `(N,)`.

    "clean" is None where no face is clean.
    """
    found = compute_metrics(probabilities, labels, unsure_below) | {"clean": None}
    if (clean := np.asarray(clean_mask, bool)).any():
        rows = np.asarray(probabilities)[clean], np.asarray(labels)[clean]
        found["clean"] = compute_metrics(*rows, unsure_below)
    return found


def score_classes(confusion: np.ndarray) -> dict[str, np.ndarray]:
    """Return precision, recall and F1 `(..., 6)` of confusion matrices `(..., 6, 6)`.

    scikit-learn takes one matrix; the bootstrap has 2,000. A score whose denominator is 0 is 0.
    """
    right = np.diagonal(confusion, axis1=-2, axis2=-1).astype(float)
    true, predicted = confusion.sum(axis=-1), confusion.sum(axis=-2)
    return {
        "precision": right / np.maximum(predicted, 1),
        "recall": right / np.maximum(true, 1),
        "f1": 2 * right / np.maximum(true + predicted, 1),
    }


def find_most_confused(confusion: np.ndarray) -> list[dict]:
    """Return the pairs with most mistakes; `share` is the fraction of the true label's faces."""
    mistakes = confusion * (1 - np.eye(len(LABELS), dtype=int))
    order = np.argsort(-mistakes, axis=None, kind="stable")[:MOST_CONFUSED_SHOWN]
    pairs = [divmod(int(cell), len(LABELS)) for cell in order]
    return [
        {
            "true": LABELS[true],
            "predicted": LABELS[predicted],
            "count": int(mistakes[true, predicted]),
            "share": float(mistakes[true, predicted] / confusion[true].sum()),
        }
        for true, predicted in pairs
        if mistakes[true, predicted]
    ]


def reliability_bins(
    confidence: np.ndarray, correct: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return count, mean confidence and accuracy `(CALIBRATION_BINS,)` of equal bins over (0, 1].

    Mean confidence and accuracy of an empty bin are 0.
    """
    bins = np.ceil(confidence * CALIBRATION_BINS).astype(int).clip(1, CALIBRATION_BINS) - 1
    count = np.bincount(bins, minlength=CALIBRATION_BINS)
    divisor = np.maximum(count, 1)
    mean_confidence = np.bincount(bins, confidence, CALIBRATION_BINS) / divisor
    accuracy = np.bincount(bins, correct, CALIBRATION_BINS) / divisor
    return count, mean_confidence, accuracy


def calibration_error(confidence: np.ndarray, correct: np.ndarray) -> float:
    """Return the mean distance of confidence and accuracy, weighted by the bins' counts.

    `correct` `(N,)` is whether, or by what fraction of people, a prediction is right.
    """
    count, mean_confidence, accuracy = reliability_bins(confidence, correct)
    return float(np.abs(mean_confidence - accuracy) @ count / count.sum())


def bootstrap_interval(correct: np.ndarray) -> list[float] | None:
    """Return the 95% bootstrap interval of the mean of `correct` `(N,)`; None where N is 0."""
    if not len(correct):
        return None
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    counts = generator.binomial(len(correct), correct.mean(), size=BOOTSTRAP_SAMPLES)
    return _to_interval(counts / len(correct))


def _bootstrap(confusion: np.ndarray) -> np.ndarray:
    # Drawing n faces with replacement and counting them is one draw from a multinomial over the
    # cells: `(BOOTSTRAP_SAMPLES, 6, 6)` in milliseconds.
    n = confusion.sum()
    generator = np.random.default_rng(BOOTSTRAP_SEED)
    samples = generator.multinomial(n, confusion.ravel() / n, size=BOOTSTRAP_SAMPLES)
    return samples.reshape(BOOTSTRAP_SAMPLES, *confusion.shape)


def _to_interval(values: np.ndarray) -> list[float]:
    return np.percentile(values, INTERVAL).tolist()


def _score_answered(
    confidence: np.ndarray, correct: np.ndarray, threshold: float
) -> tuple[float, float]:
    """Return the fraction of faces that are not unsure, and their accuracy (0 where none is)."""
    answered = confidence >= threshold
    return float(answered.mean()), float(correct[answered].mean()) if answered.any() else 0.0


def judge(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return `(N,)` confidences and whether each prediction is the label."""
    return probabilities.max(axis=1), probabilities.argmax(axis=1) == labels


def check_answers(probabilities: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return probabilities as float64 rows that sum to 1, and labels as int64."""
    if not len(labels):
        raise ValueError("There is no image to evaluate: the split is empty. Name another split.")
    probabilities = np.asarray(probabilities, np.float64)
    return probabilities / probabilities.sum(axis=1, keepdims=True), np.asarray(labels, np.int64)
