"""Names of folders, splits and classes as people have them -> splits and labels of ours.

    picked = arrange("faces.zip", ["val/Happiness/a.jpg", ...])   # [(0, Entry(...)), ...]

A picture's split and class are named by two of the folders it lies in, however deep; class folders
without any split are one undivided whole. What is left out is counted and named in the log. Used by
`sources.py`; knows no files.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from emotion_detective.inference import listing

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
# The split of images in class folders alone: `data.py` divides them.
UNDIVIDED = "all"
DROPPED_LABELS = ("disgusted",)
SPLIT_NAMES = {
    "train": ("train", "training", "trn"),
    "validation": (
        *("validation", "valid", "val", "validate", "vld", "dev", "development", "publictest"),
        *("eval", "evaluation"),
    ),
    "test": ("test", "testing", "tst", "holdout", "privatetest"),
}
CLASS_NAMES = {
    "angry": ("angry", "anger"),
    "disgusted": ("disgusted", "disgust"),
    "fearful": ("fearful", "fear", "afraid", "scared", "frightened"),
    "happy": ("happy", "happiness", "joy", "joyful"),
    "neutral": ("neutral", "neutrality"),
    "sad": ("sad", "sadness"),
    "surprised": ("surprised", "surprise", "suprised", "suprise"),
}
# Words that say nothing about the split or class, as in "train_images" or "happy faces".
FILLERS = frozenset(
    {
        *("images", "image", "imgs", "img", "pictures", "pics", "photos", "faces", "face"),
        *("sets", "set", "data", "dataset", "dir", "folder", "split", "samples", "cross", "fer"),
        *("emotions", "emotion", "expressions", "expression", "people", "persons", "person"),
        *("class", "crops", "cropped"),
    }
)
# Kaggle's emotion numbers in fer2013.csv.
FER_CSV_LABELS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")
# The names that Kaggle's msambare/fer2013 gives its files tell which part of FER2013 they are.
FER_PART = re.compile(r"(public|private)test_\d+\.\w+$", re.IGNORECASE)


@dataclass(frozen=True)
class Entry:
    """One image of a source, before it is read: split and label in our names, and where it lies.

    `origin` is the split's name in the source, `file` the path from there.
    """

    split: str
    label: str
    file: str
    origin: str = ""


def split_of(name: str) -> str | None:
    """Return the split that a name means, None if none: "Training", "val", "PublicTest"."""
    return _meant(name, SPLIT_NAMES)


def label_of(name: str) -> str:
    """Return the label that a class's name means, an unknown name as it is."""
    return _meant(name, CLASS_NAMES) or name


def _meant(name: str, known: dict[str, tuple[str, ...]]) -> str | None:
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    said = "".join(word for word in words if word not in FILLERS)
    bare = {said, *(said.removesuffix(filler) for filler in FILLERS)}  # "trainset"
    return next((ours for ours, theirs in known.items() if bare.intersection(theirs)), None)


def hold_classes(paths: Iterable[str]) -> bool:
    """True where any picture lies in a folder that is named for a class that is known."""
    folders = {part for path in paths for part in path.split("/")[:-1]}
    return any(label_of(folder) in CLASS_NAMES for folder in folders)


def arrange(name: str, paths: Sequence[str]) -> list[tuple[int, Entry]]:
    """Return each picture that lies in folders for a split and a class, with its index.

    Raises:
        ValueError: no picture does.
    """
    folders = [tuple(path.split("/")[:-1]) for path in paths]
    meant = {folder: _split_and_class(folder) for folder in set(folders)}
    if not any(split is not None for split, _ in meant.values()):
        # Class folders alone; whatever stands beside them is a class too, known or not.
        siblings = {folder[:label] for folder, (_, label) in meant.items() if label is not None}
        if len(siblings) > 1:
            told = sorted("/".join(folder) or "the top" for folder in siblings)
            logger.warning(
                "%s: the class folders in %s are taken as one whole: none is named for a split "
                "(train, validation, test).",
                name,
                listing.some_of(told),
            )
        meant = {
            folder: (None, label if label is not None else _class_beside(folder, siblings))
            for folder, (_, label) in meant.items()
        }
    else:
        meant = {
            folder: (split, label if split is not None else None)
            for folder, (split, label) in meant.items()
        }
    picked = [
        (i, _entry(path, *meant[folder]))
        for i, (path, folder) in enumerate(zip(paths, folders, strict=True))
        if meant[folder][1] is not None
    ]
    if not picked:
        raise ValueError(
            f"{name} holds no pictures in folders named for classes, such as train/happy/ and "
            "test/happy/ in Kaggle's ananthu017/emotion-detection-fer."
        )
    left_out = Counter(
        "/".join(folder) or "the top" for folder in folders if meant[folder][1] is None
    )
    if left_out:
        listing.warn_left_out(
            name, left_out.total(), "pictures in folders of no split and class", left_out
        )
    return picked


def _split_and_class(folder: Sequence[str]) -> tuple[int | None, int | None]:
    """Return which of a path's folders name its split and its class; the deepest of several."""
    split = max((i for i, part in enumerate(folder) if split_of(part)), default=None)
    known = [i for i, part in enumerate(folder) if label_of(part) in CLASS_NAMES]
    if known or split is None:
        return split, max(known, default=None)
    return split, split + 1 if split + 1 < len(folder) else None  # named, but not known


def _class_beside(folder: tuple[str, ...], siblings: set[tuple[str, ...]]) -> int | None:
    return next((i for i in range(len(folder)) if folder[:i] in siblings), None)


def _entry(path: str, split: int | None, label: int) -> Entry:
    parts = path.split("/")
    origin = "" if split is None else parts[split]
    start = label if split is None else min(split, label)
    return Entry(
        split_of(origin) or UNDIVIDED, label_of(parts[label]), "/".join(parts[start:]), origin
    )


def told_by_file_names(entries: list[Entry]) -> list[Entry]:
    """Return entries whose test split is FER2013's two, told apart by the files' names.

    Kaggle's msambare/fer2013 keeps PublicTest_1.jpg and PrivateTest_2.jpg in one folder.
    """
    parts = [FER_PART.search(entry.file) if entry.split == "test" else None for entry in entries]
    in_test = [part for entry, part in zip(entries, parts, strict=True) if entry.split == "test"]
    if any(entry.split == "validation" for entry in entries) or not all(in_test):
        return entries
    names = {part[1].lower() for part in in_test}
    if names != {"public", "private"}:
        return entries
    return [
        entry
        if part is None
        else Entry(
            "validation" if part[1].lower() == "public" else "test",
            entry.label,
            entry.file,
            f"{entry.origin}, files {part[1]}Test",
        )
        for entry, part in zip(entries, parts, strict=True)
    ]


def log_splits(name: str, entries: Iterable[Entry]) -> None:
    """Log how many images each split has, and from which folders of the source."""
    entries = list(entries)
    if dropped := Counter(entry.label for entry in entries if entry.label in DROPPED_LABELS):
        listing.warn_left_out(name, dropped.total(), "images of classes that are not used", dropped)
    counts = Counter((e.split, e.origin) for e in entries if e.label not in DROPPED_LABELS)
    for split in SPLITS:
        origins = {origin: n for (of, origin), n in counts.items() if of == split}
        told = " and ".join(origin or "its class folders" for origin in sorted(origins))
        source = f", from {told}" if told else ""
        logger.info("%s: %s has %d images%s.", name, split, sum(origins.values()), source)
