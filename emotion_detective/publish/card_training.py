"""What the card says of the training: data, targets, runs, versions and cost of the weights.

Slots of `card_text.py`, from the training record in `metrics.json`.
"""

import re
import shlex
from collections import Counter
from collections.abc import Callable

from emotion_detective.publish.card_metadata import Facts, base_model

# A part of an accelerator's name -> its rated power in watts, from NVIDIA's data sheets of the SXM
# modules. For others the card states hours and hardware, and no energy.
RATED_WATTS = {"H100 80GB HBM3": 700, "H200": 700, "A100-SXM4": 400}

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
    more = describe_votes(facts) + describe_teacher(facts) + describe_earlier_data(facts)
    return f"{name}`{dataset['source']}`: {counts} images.{more}"


def describe_votes(facts: Facts) -> str:
    """Say how far the training targets follow FER+'s votes, or nothing."""
    # Older records have no `votes`, and a share of 0 for a run without them.
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


def describe_teacher(facts: Facts) -> str:
    """Say how far the targets of the last run follow a teacher's answers, or nothing."""
    config = facts.training["config"]
    if not config.get("teacher"):
        return ""
    alike = {run["config"].get("teacher_share") for run in facts.runs} == {config["teacher_share"]}
    begin = "Of" if alike else "In the last run, of"
    return (
        f" {begin} the result {config['teacher_share']:.0%} gives way to the mean of what the "
        f"checkpoint `{config['teacher']}` answers to the image and to its mirror image."
    )


def describe_earlier_data(facts: Facts) -> str:
    """Name the other data that the runs before the last learned from, or nothing."""
    others = dict.fromkeys(run["dataset"]["source"] for run in facts.runs)
    del others[facts.training["dataset"]["source"]]
    if not others:
        return ""
    names = ", ".join(f"`{name}`" for name in others)
    return (
        f" Earlier runs learned from {names}: nobody looked whether its pictures stand in this "
        "validation or test, and its origin and licence were not recorded."
    )


def about_data(fer2013: str, other: str) -> Callable[[Facts], str]:
    """Return a slot: one text for FER2013, another with the source's name for other data."""

    def fill(facts: Facts) -> str:
        return fer2013 if facts.is_fer2013 else other.format(facts.training["dataset"]["source"])

    return fill


data_origin = about_data(
    FER_ORIGIN, "How the pictures and labels of `{}` came to be was not recorded."
)
data_limits = about_data(FER_LIMITS, "- What `{}` does not show was not learnt.")
data_licence = about_data(FER_LICENCE, "The licence of `{}` was not recorded.")


def runs(facts: Facts) -> str:
    """Return the command that repeats the run, and a line for each run behind the weights."""
    several = len(facts.runs) > 1
    lines = [
        f"- {f'Run {number} of {len(facts.runs)}: ' if several else ''}seed {run['seed']}, "
        f"{run['epochs']} epochs, of which number {run['best_epoch']} is kept, in "
        f"{duration(run['seconds'])} on {run['hardware']}, {run['date']}. "
        f"{run.get('note', '')}".rstrip()  # what a person wrote into the record
        for number, run in enumerate(facts.runs, start=1)
    ]
    return "\n".join([f"- {describe_command(facts)}", *lines])


def describe_command(facts: Facts) -> str:
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
    """Return the rated power of what `machine.describe_hardware` names, None if unknown."""
    count = int(re.match(r"(\d+) x |", hardware)[1] or 1)
    return next((count * watts for name, watts in RATED_WATTS.items() if name in hardware), None)
