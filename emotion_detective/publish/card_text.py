"""What the slots of `model_card.md` are filled with: measured values in words and tables.

`SLOTS` maps a slot's name to a function of `Facts`. Each raises `KeyError` for a value that
`metrics.json` lacks, which `card.py` turns into a sentence. Nothing here reads or writes files.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable
from pathlib import PurePosixPath

from emotion_detective.evaluation.markdown import table
from emotion_detective.inference.model import LABELS
from emotion_detective.publish.card_metadata import Facts, base_model, metadata

# Rated power of the accelerator in watts, by a part of its name; from NVIDIA's data sheets of the
# SXM modules. Without an entry the card states hours and hardware, and no energy.
RATED_WATTS = {"H100 80GB HBM3": 700, "H200": 700, "A100-SXM4": 400}
MOST_CONFUSED_SHOWN = 3
# The plots of an evaluation that are shown and pushed, with their alternative text. The galleries
# of mistakes stay on the machine that made them: they show people's faces.
PLOTS = {
    "confusion_matrix": "Confusion matrix: rows are labels, columns predictions",
    "per_class": "Precision, recall and F1 of each label with their intervals",
    "reliability": "Reliability: accuracy at each confidence",
    "confidence": "Share of the faces answered, and of these right, above each confidence",
    "curves": "Loss, accuracy and learning rate by epoch of the last run, before calibration",
}

FER_ORIGIN = """\
FER2013 (Goodfellow et al. 2013, arXiv 1307.0414) was gathered from an image search with words for
emotions and cut by a face detector to 48x48 gray pixels; people then corrected labels and crops.
The people shown were not asked. Its labels are noisy: the majority of ten crowd workers of FER+
(Barsoum et al. 2016, arXiv 1608.01041) often names another one (`train_hub.py evaluate --votes`
prints how often). FER2013 says nothing of age, gender or skin tone."""
FER_LIMITS = """\
- Web pictures found by an English image search, many of them posed or of actors; hardly any
  spontaneous expressions.
- Gray pictures of 48x48 pixels: nothing finer was ever seen."""
FER_LICENCE = """\
FER2013's rights holders gave it no licence, and mirrors disagree (Kaggle's DbCL, Apache-2.0, MIT,
CC BY-NC)."""


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


def start(facts: Facts) -> str:
    init, base = facts.runs[0]["config"]["init"], base_model(facts)
    if init == "scratch":
        return (
            "Trained from scratch: the weights were initialised at random, and no pictures but "
            "those named here and no other model's weights are in them."
        )
    if init == "imagenet":
        origin = f"ImageNet-1k weights ({base})" if base else "timm's default ImageNet weights"
        return (
            f"Fine-tuned from {origin}: the pictures they were trained on and their licences stand "
            "behind this model too."
        )
    return f"Training went on from the checkpoint {base or 'in a local folder'}."


def data(facts: Facts) -> str:
    dataset = facts.training["dataset"]
    counts = ", ".join(f"{dataset[split]} {split}" for split in ("train", "validation", "test"))
    name = "FER2013 in six classes, from " if facts.is_fer2013 else ""
    targets = votes(facts) + teacher(facts)
    return f"{name}`{dataset['source']}`: {counts} images.{targets}{earlier_data(facts)}"


def votes(facts: Facts) -> str:
    """Say how far the training targets followed FER+'s votes, or nothing."""
    # A run with a record of no votes had none; older records have a share of 0 then.
    shares = [
        run["config"].get("vote_share", 0) if run["config"].get("votes", True) else 0
        for run in facts.runs
    ]
    if not any(shares):
        return ""
    last = [share for share in shares if share][-1]
    where = "the last" if shares[-1] else "an earlier"
    begin = "Of" if len(set(shares)) == 1 else f"In {where} run, of"
    return (
        f" {begin} each training target {last:.0%} is not the image's label but how likely "
        "a logistic regression finds each label given the image's ten votes in FER+ (Barsoum et "
        "al. 2016, arXiv 1608.01041)."
    )


def teacher(facts: Facts) -> str:
    """Say how far the last run's targets followed a teacher's answers, or nothing."""
    config = facts.training["config"]
    if not config.get("teacher"):
        return ""
    alike = {run["config"].get("teacher_share") for run in facts.runs} == {config["teacher_share"]}
    begin = "Of" if alike else "In the last run, of"
    return (
        f" {begin} the result {config['teacher_share']:.0%} gives way to the mean of what the "
        f"checkpoint `{config['teacher']}` answers to the image and to its mirror image."
    )


def earlier_data(facts: Facts) -> str:
    """Name what other data the runs before the last learned from, or nothing."""
    others = dict.fromkeys(run["dataset"]["source"] for run in facts.runs)
    del others[facts.training["dataset"]["source"]]
    if not others:
        return ""
    names = ", ".join(f"`{name}`" for name in others)
    return (
        f" Earlier runs learned from {names}: nobody looked whether its pictures stand in this "
        "validation or test, and its origin and licence were not recorded."
    )


def data_origin(facts: Facts) -> str:
    source = facts.training["dataset"]["source"]
    unknown = f"How the pictures and labels of `{source}` came to be was not recorded."
    return FER_ORIGIN if facts.is_fer2013 else unknown


def data_limits(facts: Facts) -> str:
    source = facts.training["dataset"]["source"]
    return FER_LIMITS if facts.is_fer2013 else f"- What `{source}` does not show was not learnt."


def data_licence(facts: Facts) -> str:
    source = facts.training["dataset"]["source"]
    return FER_LICENCE if facts.is_fer2013 else f"The licence of `{source}` was not recorded."


def runs(facts: Facts) -> str:
    """The command that repeats the run, and one line for each run behind the weights."""
    several = len(facts.runs) > 1
    told = [
        f"- {f'Run {number} of {len(facts.runs)}: ' if several else ''}seed {run['seed']}, "
        f"{run['epochs']} epochs, of which number {run['best_epoch']} is kept, in "
        f"{duration(run['seconds'])} on {run['hardware']}, {run['date']}.{note(run)}"
        for number, run in enumerate(facts.runs, start=1)
    ]
    return "\n".join([f"- {command(facts)}", *told])


def note(run: dict) -> str:
    """What a person wrote into the record of a run, or nothing."""
    return f" {run['note']}" if "note" in run else ""


def command(facts: Facts) -> str:
    """Say which command repeats the training, or why none does."""
    if len(facts.runs) > 1:
        return (
            "No single command repeats it: each run went on from the checkpoint of the one before."
        )
    source = facts.training["dataset"]["source"]
    words = ["python", "train_hub.py", "train", "--recipe", "metrics.json"]
    line = shlex.join([*words, "--data", source, "--output", facts.name])
    return f"Command: `{line}`."


def duration(seconds: float) -> str:
    return f"{seconds / 3600:.1f} hours" if seconds >= 3600 else f"{seconds / 60:.0f} minutes"


def versions(facts: Facts) -> str:
    return ", ".join(f"{name} {version}" for name, version in facts.training["versions"].items())


def cost(facts: Facts) -> str:
    seconds = Counter()
    for run in facts.runs:
        seconds[run["hardware"]] += run["seconds"]
    times = " and ".join(f"{duration(time)} on {hardware}" for hardware, time in seconds.items())
    text = (
        f"Training took {times}; the trials before it are not counted. Its energy was not measured."
    )
    if None in map(rated_watts, seconds):
        return text
    kwh = sum(rated_watts(hardware) * time for hardware, time in seconds.items()) / 3.6e6
    return (
        f"{text} If the accelerator drew its rated power all the time it took {kwh:.2f} kWh; the "
        "rest of the machine and its cooling come on top."
    )


def rated_watts(hardware: str) -> int | None:
    """Return the rated power of all accelerators of `machine.describe_hardware`, if known."""
    count = int(re.match(r"(\d+) x |", hardware)[1] or 1)
    return next((count * watts for name, watts in RATED_WATTS.items() if name in hardware), None)


SLOTS: dict[str, Callable[[Facts], str]] = {
    "architecture": lambda facts: facts.config["architecture"],
    "cost": cost,
    "data": data,
    "data_licence": data_licence,
    "data_limits": data_limits,
    "data_origin": data_origin,
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
    "runs": runs,
    "start": start,
    "summary": summary,
    "unsure": unsure,
    "versions": versions,
}
