"""Names of folders, splits and classes as people write them -> our splits and labels.

    entries = arrange("faces.zip", ["val/Happiness/a.jpg", ...])   # [Entry(...), ...]

Two of the folders that a picture lies in, however deep, name its split and its class; class folders
without any split are one undivided whole. Opens no file.
"""

import logging
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from datasets.data_files import SPLIT_KEYWORDS

from emotion_detective import LABELS
from emotion_detective.data import listing

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")
# The split of images in class folders alone: `splits.py` divides them.
UNDIVIDED = "all"
DROPPED_LABELS = ("contempt", "disgusted")
# Words of a folder's name, as in "01-train_images" and "Happy faces".
SPLIT_WORDS = {word: str(split) for split, words in SPLIT_KEYWORDS.items() for word in words}
SPLIT_WORDS |= {"publictest": "validation", "privatetest": "test"}  # FER2013's own
LABEL_WORDS = {label: label for label in (*LABELS, *DROPPED_LABELS)}
LABEL_WORDS |= {"anger": "angry", "disgust": "disgusted", "fear": "fearful", "sadness": "sad"}
LABEL_WORDS |= {"happiness": "happy", "surprise": "surprised"}
LABEL_WORDS |= {"suprise": "surprised", "suprised": "surprised"}  # as some folders are spelled


@dataclass(frozen=True)
class Entry:
    """One image of a source, not read yet.

    `index` is its place in the source's list, `file` its path from the folder of its split or
    class, `origin` the source's own name of the split.
    """

    index: int
    split: str
    label: str
    file: str
    origin: str = ""


def split_of(name: str) -> str | None:
    """Return the split that a name means ("Training", "val", "PublicTest"), or None."""
    return _find_meaning(name, SPLIT_WORDS)


def label_of(name: str) -> str:
    """Return the label that a class name means, an unknown name unchanged."""
    return _find_meaning(name, LABEL_WORDS) or name


def _find_meaning(name: str, known: dict[str, str]) -> str | None:
    found = {known[word] for word in re.findall("[a-z]+", name.lower()) if word in known}
    return found.pop() if len(found) == 1 else None


def arrange(source: str, paths: Sequence[str]) -> list[Entry]:
    """Return an entry of each picture that lies in folders for split and class.

    Log how many others are left out, and from which folders.
    """
    folders = [tuple(path.split("/")[:-1]) for path in paths]
    named = {folder: _find_named(folder) for folder in set(folders)}
    around = {folder[:label] for folder, (_, label) in named.items() if label is not None}
    is_divided = any(split is not None for split, _ in named.values())
    if not is_divided and len(around) > 1:
        logger.warning(
            "%s: the class folders in %s are taken as one whole: none is named for a split "
            "(train, validation, test).",
            source,
            listing.some_of("/".join(folder) or "the top" for folder in around),
        )
    entries, left_out = [], Counter()
    for i, folder in enumerate(folders):
        split, label = named[folder]
        if label is None:  # a folder beside those of known classes names an unknown one
            label = next((k for k in range(len(folder)) if folder[:k] in around), None)
        if label is None or (is_divided and split is None):
            left_out["/".join(folder) or "the top"] += 1
        else:
            entries.append(_make_entry(i, paths[i], split, label))
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


def _find_named(folder: Sequence[str]) -> tuple[int | None, int | None]:
    """Return which part of a path names the split and which the class, the deepest of several."""
    return tuple(
        max((i for i, part in enumerate(folder) if _find_meaning(part, known)), default=None)
        for known in (SPLIT_WORDS, LABEL_WORDS)
    )


def _make_entry(i: int, path: str, split: int | None, label: int) -> Entry:
    parts = path.split("/")
    origin = "" if split is None else parts[split]
    file = "/".join(parts[label if split is None else min(split, label) :])
    return Entry(i, split_of(origin) or UNDIVIDED, label_of(parts[label]), file, origin)
