"""The slots of `model_card.md`, and those that hold measured values in words and tables.

`SLOTS` maps the name of a slot to a function of `Facts`; `card_training.py` has those about the
training. Each raises `KeyError` for a value that `metrics.json` lacks, which `card.py` turns into a
sentence. Reads and writes no files.
"""

from collections.abc import Callable
from pathlib import PurePosixPath

from emotion_detective import LABELS
from emotion_detective.evaluation.plots import table
from emotion_detective.publish import card_training
from emotion_detective.publish.card_metadata import Facts, metadata

MOST_CONFUSED_SHOWN = 3
# The plots that the card shows and `push` uploads -> their alternative text. The galleries of
# mistakes stay on the machine that made them: they show people's faces.
PLOTS = {
    "confusion_matrix": "Confusion matrix: rows are labels, columns predictions",
    "per_class": "Precision, recall and F1 of each label with their intervals",
    "reliability": "Reliability: accuracy at each confidence",
    "confidence": "Share of the faces answered, and of these right, above each confidence",
    "curves": "Loss, accuracy and learning rate by epoch of the last run, before calibration",
}


def percent(value: float) -> str:
    return f"{100 * value:.1f}%"


def with_interval(value: float, interval: list[float]) -> str:
    low, high = (100 * limit for limit in interval)
    return f"{100 * value:.1f}% [{low:.1f}, {high:.1f}]"


def summary(facts: Facts) -> str:
    split, metrics = facts.headline
    low, high = metrics["accuracy_interval"]
    return (
        f"On {facts.split_name(split)} (n = {metrics['n']}) it labels "
        f"{percent(metrics['accuracy'])} of the faces as the data set does (95% interval "
        f"{percent(low)} to {percent(high)}), with "
        f"a macro-F1 of {percent(metrics['macro_f1'])} and a calibration error (ECE) of "
        f"{percent(metrics['ece'])}."
    )


def results(facts: Facts) -> str:
    header = ["split", "n", "accuracy", "macro-F1", "ECE", "log loss"]
    rows = [
        [
            facts.split_name(split) + suffix,
            part["n"],
            with_interval(part["accuracy"], part["accuracy_interval"]),
            with_interval(part["macro_f1"], part["macro_f1_interval"]),
            percent(part["ece"]),
            f"{part['nll']:.3f}",
        ]
        for split, metrics in facts.splits.items()
        for suffix, part in (("", metrics), (", clean", metrics["clean"]))
        if part is not None
    ]
    return table(header, rows)


def per_class(facts: Facts) -> str:
    scores = facts.headline[1]["per_class"]
    rows = [
        [
            label,
            scores[label]["support"],
            percent(scores[label]["precision"]),
            percent(scores[label]["recall"]),
            with_interval(scores[label]["f1"], scores[label]["f1_interval"]),
        ]
        for label in LABELS
    ]
    return table(["label", "n", "precision", "recall", "F1"], rows)


def most_confused(facts: Facts) -> str:
    pairs = facts.headline[1]["most_confused"][:MOST_CONFUSED_SHOWN]
    return "; ".join(
        f"{pair['true']} taken for {pair['predicted']} ({percent(pair['share'])} of the "
        f"{pair['true']} faces)"
        for pair in pairs
    )


def plots(facts: Facts) -> str:
    return "\n\n".join(f"![{PLOTS[PurePosixPath(path).stem]}]({path})" for path in facts.plots)


def unsure(facts: Facts) -> str:
    split, metrics = facts.headline
    threshold = facts.config["unsure_below"]
    return (
        f"Below a confidence of {percent(threshold)} an answer is better called unsure (chosen on "
        f"validation, `unsure_below` in `config.json`; `pipeline` and timm don't apply it). On "
        f"{facts.split_name(split)} that leaves {percent(1 - metrics['answered_share'])} of the "
        f"faces unanswered; of the others {percent(metrics['answered_accuracy'])} are answered as "
        "labelled."
    )


SLOTS: dict[str, Callable[[Facts], str]] = {
    "architecture": lambda facts: facts.config["architecture"],
    "cost": card_training.cost,
    "data": card_training.data,
    "data_licence": card_training.data_licence,
    "data_limits": card_training.data_limits,
    "data_origin": card_training.data_origin,
    "headline_split": lambda facts: facts.split_name(facts.headline[0]),
    "image_size": lambda facts: str(facts.config["pretrained_cfg"]["input_size"][-1]),
    "labels": lambda facts: ", ".join(LABELS),
    "metadata": metadata,
    "most_confused": most_confused,
    "name": lambda facts: facts.name,
    "per_class": per_class,
    "plots": plots,
    "repo_id": lambda facts: facts.repo_id,
    "results": results,
    "runs": card_training.runs,
    "start": card_training.start,
    "summary": summary,
    "unsure": unsure,
    "versions": card_training.versions,
}
