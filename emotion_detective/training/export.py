"""A trained network -> a finished checkpoint folder: calibrated, measured, plotted and described.

Temperature and threshold are fitted on validation and go into the checkpoint; the files on disk are
then evaluated. `train_hub.py` calls `export` at the end of a run and `measure` for `evaluate`.
Knows no Hub.
"""

import json
import math
from datetime import date
from pathlib import Path

import datasets
import numpy as np
import torch
from scipy.special import softmax
from tqdm.auto import tqdm

from emotion_detective import LABELS
from emotion_detective.core.checkpoint import (
    METRICS_FILE,
    PLOTS_FOLDER,
    read_metrics,
    save_checkpoint,
)
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.loading import load_classifier
from emotion_detective.data import display_name
from emotion_detective.evaluation import plots, votes
from emotion_detective.evaluation.metrics import (
    choose_unsure_threshold,
    fit_temperature,
    split_metrics,
)
from emotion_detective.training import loop, machine
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run_folder import best_row

# Images decoded and held at a time.
BATCH_SIZE = 64


def export(
    network: torch.nn.Module,
    parts: datasets.DatasetDict,
    folder: Path,
    image_size: int,
    record: dict,
    history: list[dict],
    dtype: torch.dtype,
    before: dict | None = None,
    votes_file: str | None = None,
) -> dict:
    """Write the checkpoint with its metrics and plots into `folder`; return the metrics.

    `record` describes the training run (`describe_run`); `before` is how the checkpoint that it
    started from did on validation. With `votes_file`, a CSV of FER+ votes, it is calibrated on what
    people see, and measured by them too. The test split is read here, once a run, after everything
    is chosen.
    """
    validation = parts["validation"]
    calibration = calibrate(network, validation, image_size, votes_file)
    fitted = {name: calibration[name] for name in ("temperature", "unsure_below")}
    save_checkpoint(network, folder, image_size, dtype=dtype, **fitted)
    plots.plot_history(history, best_row(history)["epoch"], folder / PLOTS_FOLDER / "curves.png")
    classifier = load_classifier(folder)
    measured = measure(classifier, validation, "validation", votes_file=votes_file)
    if before:
        record = record | {"before": {name: before[name] for name in ("n", "accuracy", "macro_f1")}}
        plots.plot_change(before, measured, folder / PLOTS_FOLDER / "before_and_after.png")
    known = {"training": record, "calibration": calibration, "validation": measured}
    _write_metrics(folder, known)
    measure(classifier, parts["test"], "test", folder, votes_file)
    return read_metrics(folder)


def calibrate(
    network: torch.nn.Module,
    split: datasets.Dataset,
    image_size: int,
    votes_file: str | None = None,
) -> dict:
    """Return temperature, `unsure_below`, and the fraction answered and its accuracy on `split`.

    With `votes_file` a confidence is the fraction of people who would say the same, and a
    prediction is right that names their majority; without, both are the labels'.
    """
    logits, labels = (tensor.numpy() for tensor in loop.predict_logits(network, split, image_size))
    targets, right = np.eye(len(LABELS))[labels], labels
    if votes_file is not None:
        counted = votes.read_votes(votes_file, split["file"])
        targets, right = votes.distributions(counted, labels), counted.majority
    temperature = fit_temperature(logits, targets)
    known = right != votes.NO_MAJORITY
    probabilities = softmax(logits[known] / temperature, axis=1)
    threshold, fraction, accuracy = choose_unsure_threshold(probabilities, right[known])
    return {
        "against": "labels" if votes_file is None else "votes",
        "temperature": temperature,
        "unsure_below": threshold,
        "answered_share": fraction,
        "answered_accuracy": accuracy,
    }


def measure(
    classifier: Classifier,
    split: datasets.Dataset,
    name: str,
    folder: Path | None = None,
    votes_file: Path | None = None,
) -> dict:
    """Return the metrics of the split `name`; with `folder`, write them and plots there too.

    The plots show the split that the card speaks of first. With `votes_file`, a CSV of FER+ votes,
    the metrics have "votes" as well (`votes.vote_metrics`).
    """
    known = {} if folder is None else read_metrics(folder)
    _refuse_other_data(known, name, len(split))
    probabilities, labels = predict_split(classifier, split)
    threshold = classifier.unsure_below
    metrics = split_metrics(probabilities, labels, split["clean"], threshold)
    if votes_file is not None:
        counted = votes.read_votes(votes_file, split["file"])
        metrics["votes"] = votes.vote_metrics(probabilities, labels, counted, threshold)
    if folder is not None:
        _write_metrics(folder, known | {name: metrics})
    if folder is not None and (name == "test" or "test" not in known):
        plots.write_plots(folder, probabilities, labels, metrics)
        path = folder / PLOTS_FOLDER / "top_losses.png"
        plots.plot_top_losses(split, probabilities, labels, path)
    return metrics


def predict_split(classifier: Classifier, split: datasets.Dataset) -> tuple[np.ndarray, np.ndarray]:
    """Return `(N, 6)` float32 probabilities and `(N,)` labels of a split of `data.load`.

    One float32 forward pass a picture, as the app does it: no test-time augmentation.
    """
    count = math.ceil(len(split) / BATCH_SIZE)
    batches = tqdm(split.iter(BATCH_SIZE), "classifying", total=count, leave=False)
    probabilities = [classifier.probabilities(batch["image"]) for batch in batches]
    labels = np.asarray(split["label"], np.int64)
    return np.concatenate([classifier.probabilities([]), *probabilities]), labels


def _refuse_other_data(metrics: dict, name: str, count: int) -> None:
    """Refuse numbers of other data than the training run's, which the card names."""
    trained_on = metrics.get("training", {}).get("dataset", {})
    if trained_on.get(name, count) != count:
        raise ValueError(
            f"--data has {count} images of {name}, the data of the training run had "
            f"{trained_on[name]}: the card would describe other data. Evaluate without --update."
        )


def _write_metrics(folder: Path, metrics: dict) -> None:
    (folder / METRICS_FILE).write_text(json.dumps(metrics, indent=2) + "\n")


def describe_run(
    config: TrainConfig, source: str, parts: datasets.DatasetDict, history: list[dict]
) -> dict:
    """Return the record of a finished run as plain values, without folders of this machine.

    `parts` were loaded from `source`; `history` are the rows that `loop.train` returns.
    """
    counts = {split: len(part) for split, part in parts.items()}
    counts["train"] = min(counts["train"], config.limit or counts["train"])
    return {
        "config": config.recorded(),
        "seed": config.seed,
        "dataset": {"source": display_name(source)} | counts,
        "hardware": machine.describe_hardware(),
        "mixed_precision": machine.mixed_precision(),
        "versions": machine.describe_versions(),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "epochs": len(history),
        "best_epoch": best_row(history)["epoch"],
        "date": date.today().isoformat(),
        "earlier": _earlier_runs(config.init),
    }


def _earlier_runs(init: str) -> list[dict]:
    """Return the records of the runs that made the checkpoint folder `init`, the oldest first."""
    last = read_metrics(init).get("training") if Path(init).is_dir() else None
    return [*last.pop("earlier", []), last] if last else []
