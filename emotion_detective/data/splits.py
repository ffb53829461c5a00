"""The images of a source -> train, validation and test, each with all six classes.

A source keeps its own splits. FER2013 is known by its counts: its test folder is PublicTest, our
validation, followed by PrivateTest, our test. A split that is missing is drawn from train. The log
says what each split is made of. Reads no image.
"""

import logging
import re
from collections import Counter
from dataclasses import replace

import numpy as np

from emotion_detective import LABELS
from emotion_detective.data import listing
from emotion_detective.data.layout import DROPPED_LABELS, SPLITS, UNDIVIDED, Entry

logger = logging.getLogger(__name__)

# Images of each class in Kaggle's test/, and how many of these, in numeric order of the file name,
# are PublicTest. Checked against the usage column of FER+ (Barsoum et al. 2016, arXiv 1608.01041).
FER_TEST_COUNTS = dict(zip(LABELS, (958, 1024, 1774, 1233, 1247, 831), strict=True))
FER_PUBLIC_COUNTS = dict(zip(LABELS, (467, 496, 895, 607, 653, 415), strict=True))
FER_FILE = re.compile(r"/im(\d+)\.png$")
# Kaggle's msambare/fer2013 keeps PublicTest_1.jpg and PrivateTest_2.jpg in one test folder.
FER_PART = re.compile(r"(public|private)test_\d+\.\w+$", re.IGNORECASE)
# The fraction of train that becomes validation or test where a source has none, and its seed.
DRAWN_FRACTION, DRAWN_SEED = 0.1, 0
# FER2013's own classes differ by a factor of 2.3.
MAX_IMBALANCE = 10


def assign_splits(name: str, entries: list[Entry], measured: str | None = None) -> list[Entry]:
    """Return the entries of the source `name`, each in one of the three splits.

    With `measured` this split alone must have images, of any class, and gets all undivided ones.
    """
    counts = Counter(entry.label for entry in entries if entry.split == "test")
    are_numbered = all(FER_FILE.search(entry.file) for entry in entries)
    if are_numbered and all(counts[label] == count for label, count in FER_TEST_COUNTS.items()):
        entries = _divide_by_number(entries)
    entries = _divide_by_file_name(entries)
    if all(entry.split == UNDIVIDED for entry in entries):
        if measured:
            logger.warning("%s has no splits: all of it is measured, trained on or not.", name)
        entries = [replace(entry, split=measured or "train") for entry in entries]
    present = {entry.split for entry in entries}
    missing = [split for split in SPLITS if split not in present]
    if missing and "train" in present:
        sentence = "%s has no %s: a stratified %d%% of train becomes %s."
        none, drawn = " and no ".join(missing), " and as much ".join(missing)
        logger.warning(sentence, name, none, round(100 * DRAWN_FRACTION), drawn)
        entries = _draw(entries, missing)
    _log_splits(name, entries)
    _check_classes(name, entries, measured)
    return entries


def _divide_by_number(entries: list[Entry]) -> list[Entry]:
    """Call the first images of each class in FER2013's test validation: they are PublicTest."""
    divided, left = list(entries), Counter(FER_PUBLIC_COUNTS)
    test = [i for i, e in enumerate(entries) if e.split == "test" and e.label in LABELS]
    for i in sorted(test, key=lambda i: int(FER_FILE.search(entries[i].file)[1])):
        if left[entries[i].label]:
            left[entries[i].label] -= 1
            divided[i] = replace(entries[i], split="validation")
    return divided


def _divide_by_file_name(entries: list[Entry]) -> list[Entry]:
    """Call PublicTest validation where the file names distinguish FER2013's two parts of test."""
    parts = {i: FER_PART.search(e.file) for i, e in enumerate(entries) if e.split == "test"}
    names = {part and part[1].lower() for part in parts.values()}
    if names != {"public", "private"} or any(entry.split == "validation" for entry in entries):
        return entries
    divided = list(entries)
    for i, part in parts.items():
        split = "validation" if part[1].lower() == "public" else "test"
        origin = f"{entries[i].origin}, files {part[1]}Test"
        divided[i] = replace(entries[i], split=split, origin=origin)
    return divided


def _draw(entries: list[Entry], splits: list[str]) -> list[Entry]:
    """Draw the splits from train, at least one image of a class for each while train keeps one."""
    divided = list(entries)
    rng = np.random.default_rng(DRAWN_SEED)
    for label in LABELS:
        indices = [i for i, e in enumerate(entries) if (e.split, e.label) == ("train", label)]
        if len(indices) <= len(splits):
            continue
        drawn = rng.permutation(indices)
        count = max(1, round(DRAWN_FRACTION * len(indices)))
        for number, split in enumerate(splits):
            for i in drawn[number * count : (number + 1) * count]:
                origin = entries[i].origin or "the class folders"
                divided[i] = replace(entries[i], split=split, origin=f"a fraction of {origin}")
    return divided


def _log_splits(name: str, entries: list[Entry]) -> None:
    """Log how many images each split has, and from which folders of the source."""
    if dropped := Counter(entry.label for entry in entries if entry.label in DROPPED_LABELS):
        listing.warn_left_out(name, dropped.total(), "images of classes that are not used", dropped)
    for split in SPLITS:
        used = [e for e in entries if e.split == split and e.label not in DROPPED_LABELS]
        if origins := sorted({entry.origin or "its class folders" for entry in used}):
            folders = " and ".join(origins)
            logger.info("%s: %s has %d images, from %s.", name, split, len(used), folders)


def _check_classes(name: str, entries: list[Entry], measured: str | None) -> None:
    counts = Counter((entry.split, entry.label) for entry in entries)
    unknown = sorted({label for _, label in counts} - set(LABELS) - set(DROPPED_LABELS))
    if unknown:
        raise ValueError(
            f"{name} has the unknown class {', '.join(map(repr, unknown))}; the known ones "
            f"are {', '.join(LABELS)} and their usual other names ({' and '.join(DROPPED_LABELS)} "
            "are dropped). Rename or remove it."
        )
    for split in (measured,) if measured else SPLITS:
        empty = [label for label in LABELS if not counts[split, label]]
        if measured and 0 < len(empty) < len(LABELS):
            logger.warning("%s has no images of %s in %s.", name, ", ".join(empty), split)
        elif empty:
            raise ValueError(
                f"{name} has no images of {', '.join(empty)} for the split {split}: every "
                "split needs an image of each class, and train 2 of each where validation or test "
                "is missing, 3 where both are."
            )
    if not measured:
        _warn_of_imbalance(name, Counter({label: counts["train", label] for label in LABELS}))


def _warn_of_imbalance(name: str, counts: Counter) -> None:
    (most, count), *_, (least, few) = counts.most_common()
    if count > MAX_IMBALANCE * few:
        sentence = (
            "%s: train has %d images of %s and %d of %s. Accuracy will say little of rare classes: "
            "judge by macro-F1, and give --class-weights."
        )
        logger.warning(sentence, name, count, most, few, least)
