"""A second label set: FER+'s ten crowd votes an image, to learn from and to evaluate with.

FER2013's labels are noisy; FER+ (Barsoum et al. 2016, arXiv 1608.01041) asked ten people about
each image. `train_hub.py train --votes CSV` moves the training targets to `distributions`, and
`evaluate --votes CSV` adds `vote_metrics` to the JSON under "votes". The CSV has a row an image:
`path` (the `file` column of `data.load`), then the counts of COUNTED; `ferplus.py` writes it.

The majority of an image is the one of all ten answers with most votes. Where that is a tie, or none
of our labels, the image has no majority and does not count for agreement. The votes for our six
labels are a distribution, scaled to sum to 1, where they are at least half of all votes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import rel_entr

from emotion_detective import LABELS
from emotion_detective.evaluation.metrics import (
    calibration_error,
    check_answers,
    compute_metrics,
)

# FER+'s names in the order of LABELS.
VOTE_COLUMNS = ("anger", "fear", "happiness", "neutral", "sadness", "surprise")
OTHER_COLUMNS = ("disgust", "contempt", "unknown", "NF")  # NF is not a face
COUNTED = (*VOTE_COLUMNS, *OTHER_COLUMNS)
# Below this fraction of an image's votes the six labels are no distribution.
MIN_FRACTION_OF_SIX = 0.5
# A probability of 0 where somebody voted would make the cross-entropy infinite.
SMALLEST_PROBABILITY = 1e-6
NO_MAJORITY = -1


@dataclass(frozen=True)
class Votes:
    """Votes of N images: `counts` `(N, 6)` for LABELS, `others` `(N, 4)` for OTHER_COLUMNS.

    An image that is not in the CSV has zeros.
    """

    counts: np.ndarray
    others: np.ndarray

    @property
    def total(self) -> np.ndarray:
        """`(N,)` votes for any answer."""
        return self.counts.sum(axis=1) + self.others.sum(axis=1)

    @property
    def majority(self) -> np.ndarray:
        """`(N,)` indices of LABELS, NO_MAJORITY where the votes have none."""
        first = self.counts.max(axis=1)
        alone = (self.counts == first[:, None]).sum(axis=1) == 1
        return np.where(
            alone & (first > self.others.max(axis=1)), self.counts.argmax(axis=1), NO_MAJORITY
        )

    @property
    def is_distribution(self) -> np.ndarray:
        """`(N,)` bool: whether the six labels have MIN_FRACTION_OF_SIX of the votes."""
        six = self.counts.sum(axis=1)
        return (six > 0) & (six >= MIN_FRACTION_OF_SIX * self.total)


def read_votes(path: Path | str, files: Sequence[str]) -> Votes:
    """Return the votes of `files`, in their order."""
    votes = _read_counts(path)
    if not len(files):
        raise ValueError("There is no image to hold votes against: the split is empty.")
    if votes.index.intersection(files).empty:
        raise ValueError(
            f"{path} has votes for none of the split's {len(files)} images: its column `path` must "
            f"look like {files[0]!r}."
        )
    table = votes.reindex(files, fill_value=0).to_numpy()
    return Votes(table[:, : len(LABELS)], table[:, len(LABELS) :])


def _read_counts(path: Path | str) -> pd.DataFrame:
    """Return the counts of all images of a CSV, by their paths."""
    table = read_columns(path, ("path", *COUNTED)).drop_duplicates("path", keep="last")
    try:
        return table.set_index("path").astype(int)
    except ValueError as error:
        raise ValueError(f"{path} has votes that are no whole numbers ({error}).") from error


def read_columns(path: Path | str, names: Sequence[str]) -> pd.DataFrame:
    """Return columns of a CSV as text; some of Kaggle's have spaces before their names."""
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True)
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {path}.") from error
    except ValueError as error:
        raise ValueError(f"{path} is no CSV: fetch it again.") from error
    if missing := [name for name in names if name not in table]:
        raise ValueError(f"{path} lacks the columns {', '.join(missing)}: it is another file.")
    table = table[list(names)]
    if cut := np.flatnonzero(table.isna().any(axis=1)).tolist():
        raise ValueError(f"{path} is cut short in row {cut[0] + 1}: fetch it again.")
    return table


def sees_no_face(path: Path | str, files: Sequence[str]) -> np.ndarray:
    """Return `(N,)` bool: whether more than half of an image's votes are for "not a face"."""
    votes = read_votes(path, files)
    return votes.others[:, OTHER_COLUMNS.index("NF")] > votes.total / 2


def distributions(votes: Votes, labels: np.ndarray) -> np.ndarray:
    """Return `(N, 6)` float64 distributions of the votes for our six labels.

    Where the votes are no distribution, the image's label of `(N,)` `labels` has all of it.
    """
    targets = np.eye(len(LABELS))[labels]
    counts = votes.counts[votes.is_distribution]
    targets[votes.is_distribution] = counts / counts.sum(axis=1, keepdims=True)
    return targets


def vote_metrics(
    probabilities: np.ndarray,
    labels: np.ndarray,
    votes: Votes,
    unsure_below: float,
) -> dict:
    """Return how a checkpoint's `(N, 6)` probabilities and the `(N,)` labels agree with votes.

    "majority" is `metrics.compute_metrics` with the majorities as labels, "label_agreement" the
    fraction of them that the labels name. "distribution" has means over images, in nats:
    cross-entropy and Kullback-Leibler divergence from votes to probabilities; its "ece" compares
    the confidence with the fraction of voters who name the prediction.
    """
    probabilities, labels = check_answers(probabilities, labels)
    majority = votes.majority
    voted = majority != NO_MAJORITY
    return {
        "n": int((votes.total > 0).sum()),
        "majority": compute_metrics(probabilities[voted], majority[voted], unsure_below),
        "label_agreement": _average(labels[voted] == majority[voted]),
        "distribution": _measure_distances(probabilities, votes),
    }


def _measure_distances(probabilities: np.ndarray, votes: Votes) -> dict[str, float | int | None]:
    counts = votes.counts[votes.is_distribution]
    target = counts / counts.sum(axis=1, keepdims=True)
    predicted = np.maximum(probabilities[votes.is_distribution], SMALLEST_PROBABILITY)
    rows = np.arange(len(target))
    return {
        "n": len(target),
        "cross_entropy": _average(-(target * np.log(predicted)).sum(axis=1)),
        "kl_divergence": _average(rel_entr(target, predicted).sum(axis=1)),
        "ece": calibration_error(predicted.max(axis=1), target[rows, predicted.argmax(axis=1)]),
    }


def _average(values: np.ndarray) -> float | None:
    return float(values.mean()) if len(values) else None
