"""Names of folders, splits and classes as people write them -> our splits and labels.

    entries = arrange("faces.zip", ["val/Happiness/a.jpg", ...])   # [Entry(...), ...]

Two of the folders that a picture lies in, however deep, name its split and its class; class folders
without any split are one undivided whole. The log counts and names what is left out. Opens no
file.
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
DROPPED_LABELS = ("contempt", "disgusted")
# Words of a folder's name, as in "01-train_images" and "Happy faces". `datasets` knows splits by
# the same words, but for FER2013's own PublicTest and PrivateTest.
SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev", "publictest"),
    "test": ("test", "testing", "privatetest"),
}
CLASS_NAMES = {
    "angry": ("angry", "anger"),
    "contempt": ("contempt",),
    "disgusted": ("disgusted", "disgust"),
    "fearful": ("fearful", "fear"),
    "happy": ("happy", "happiness"),
    "neutral": ("neutral",),
    "sad": ("sad", "sadness"),
    "surprised": ("surprised", "surprise", "suprised", "suprise"),
}
# Indices of the folders that name the split and the class.
Parts = tuple[int | None, int | None]


@dataclass(frozen=True)
class Entry:
    """One image of a source, not read yet: its split and label in our names, and its place.

    `index` is its place in the source's list, `origin` the source's name of the split, `file` the
    path from there.
    """

    index: int
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
    words = set(re.findall("[a-z]+", name.lower()))
    found = [ours for ours, theirs in known.items() if words.intersection(theirs)]
    return found[0] if len(found) == 1 else None


def hold_classes(paths: Iterable[str]) -> bool:
    """Return whether any picture lies in a folder named for a known class."""
    folders = {part for path in paths for part in path.split("/")[:-1]}
    return any(label_of(folder) in CLASS_NAMES for folder in folders)


def arrange(source: str, paths: Sequence[str]) -> list[Entry]:
    """Return an entry of each picture that lies in folders for split and class."""
    folders = [tuple(path.split("/")[:-1]) for path in paths]
    parts = {folder: _find_parts(folder) for folder in set(folders)}
    around = {folder[:label] for folder, (_, label) in parts.items() if label is not None}
    is_divided = any(split is not None for split, _ in parts.values())
    if not is_divided and len(around) > 1:
        logger.warning(
            "%s: the class folders in %s are taken as one whole: none is named for a split "
            "(train, validation, test).",
            source,
            listing.some_of("/".join(folder) or "the top" for folder in around),
        )
    entries, left_out = [], Counter()
    for i, (path, folder) in enumerate(zip(paths, folders, strict=True)):
        split, label = parts[folder]
        if label is None:  # beside a class stand only classes, of whatever name
            label = next((k for k in range(len(folder)) if folder[:k] in around), None)
        if label is None or (is_divided and split is None):
            left_out["/".join(folder) or "the top"] += 1
        else:
            entries.append(_make_entry(i, path, split, label))
    if not entries:
        raise ValueError(
            f"{source} holds no pictures in folders named for classes, such as train/happy/ and "
            "test/happy/ in Kaggle's ananthu017/emotion-detection-fer, and no CSV with the columns "
            "emotion and pixels."
        )
    if left_out:
        what = "pictures in folders of no split and class"
        listing.warn_left_out(source, left_out.total(), what, left_out)
    return entries


def _find_parts(folder: Sequence[str]) -> Parts:
    """Return which of a path's folders name its split and its class; the deepest of several."""
    return tuple(
        max((i for i, part in enumerate(folder) if _find_meaning(part, known)), default=None)
        for known in (SPLIT_NAMES, CLASS_NAMES)
    )


def _make_entry(i: int, path: str, split: int | None, label: int) -> Entry:
    parts = path.split("/")
    origin = "" if split is None else parts[split]
    start = label if split is None else min(split, label)
    file = "/".join(parts[start:])
    return Entry(i, split_of(origin) or UNDIVIDED, label_of(parts[label]), file, origin)
