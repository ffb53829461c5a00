"""Names of folders, splits and classes as people write them -> our splits and labels.

    entries = arrange("faces.zip", ["val/Happiness/a.jpg", ...])   # [(0, Entry(...)), ...]

Two of the folders that a picture lies in, however deep, name its split and its class; class folders
without any split are one undivided whole. The log counts and names what is left out. Used by
`sources.py`; opens no file.
"""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from emotion_detective.data import listing

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
# The split of images in class folders alone: `splits.py` divides them.
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
# Index of the folder that names the split, and of the one that names the class.
Parts = tuple[int | None, int | None]


@dataclass(frozen=True)
class Entry:
    """One image of a source, not read yet: its split and label in our names, and its place.

    `origin` is the source's name of the split, `file` the path from there.
    """

    split: str
    label: str
    file: str
    origin: str = ""


def split_of(name: str) -> str | None:
    """Return the split that a name means ("Training", "val", "PublicTest"), or None."""
    return _find_meaning(name, SPLIT_NAMES)


def label_of(name: str) -> str:
    """Return the label that a class name means, an unknown name unchanged."""
    return _find_meaning(name, CLASS_NAMES) or name


def _find_meaning(name: str, known: dict[str, tuple[str, ...]]) -> str | None:
    words = re.findall(r"[a-z]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", name).lower())
    core = "".join(word for word in words if word not in FILLERS)
    cores = {core, *(core.removesuffix(filler) for filler in FILLERS)}  # "trainset"
    return next((ours for ours, theirs in known.items() if cores.intersection(theirs)), None)


def hold_classes(paths: Iterable[str]) -> bool:
    """Return whether any picture lies in a folder named for a known class."""
    folders = {part for path in paths for part in path.split("/")[:-1]}
    return any(label_of(folder) in CLASS_NAMES for folder in folders)


def arrange(name: str, paths: Sequence[str]) -> list[tuple[int, Entry]]:
    """Return an entry, with its index, of each picture that lies in folders for split and class.

    Raises:
        ValueError: no picture does.
    """
    folders = [tuple(path.split("/")[:-1]) for path in paths]
    # Folder -> which of its parts name the split and the class.
    parts = {folder: _find_parts(folder) for folder in set(folders)}
    if any(split is not None for split, _ in parts.values()):
        parts = {
            folder: (split, label if split is not None else None)
            for folder, (split, label) in parts.items()
        }
    else:
        parts = _find_undivided_classes(name, parts)
    entries = [
        (i, _make_entry(path, *parts[folder]))
        for i, (path, folder) in enumerate(zip(paths, folders, strict=True))
        if parts[folder][1] is not None
    ]
    if not entries:
        raise ValueError(
            f"{name} holds no pictures in folders named for classes, such as train/happy/ and "
            "test/happy/ in Kaggle's ananthu017/emotion-detection-fer."
        )
    left_out = Counter(
        "/".join(folder) or "the top" for folder in folders if parts[folder][1] is None
    )
    if left_out:
        listing.warn_left_out(
            name, left_out.total(), "pictures in folders of no split and class", left_out
        )
    return entries


def _find_parts(folder: Sequence[str]) -> Parts:
    """Return which of a path's folders name its split and its class; the deepest of several."""
    split = max((i for i, part in enumerate(folder) if split_of(part)), default=None)
    known = [i for i, part in enumerate(folder) if label_of(part) in CLASS_NAMES]
    if known or split is None:
        return split, max(known, default=None)
    return split, split + 1 if split + 1 < len(folder) else None  # an unknown class


def _find_undivided_classes(
    name: str, parts: dict[tuple[str, ...], Parts]
) -> dict[tuple[str, ...], Parts]:
    """Return the class of each folder where none has a split; beside a class stand only classes."""
    parents = {folder[:label] for folder, (_, label) in parts.items() if label is not None}
    if len(parents) > 1:
        shown = sorted("/".join(folder) or "the top" for folder in parents)
        logger.warning(
            "%s: the class folders in %s are taken as one whole: none is named for a split "
            "(train, validation, test).",
            name,
            listing.some_of(shown),
        )
    beside = {
        folder: next((i for i in range(len(folder)) if folder[:i] in parents), None)
        for folder in parts
    }
    return {
        folder: (None, beside[folder] if label is None else label)
        for folder, (_, label) in parts.items()
    }


def _make_entry(path: str, split: int | None, label: int) -> Entry:
    parts = path.split("/")
    origin = "" if split is None else parts[split]
    start = label if split is None else min(split, label)
    return Entry(
        split_of(origin) or UNDIVIDED, label_of(parts[label]), "/".join(parts[start:]), origin
    )
