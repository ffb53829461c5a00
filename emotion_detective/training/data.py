"""FER2013 and sources like it -> `datasets.DatasetDict` with six classes, free of leaks.

This module decides which image of a source (`sources.py`) belongs to which split, drops what would
leak from one split into another, and turns a split into tensors. It knows no network and no
optimiser.
"""

import hashlib
import io
import logging
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from emotion_detective.inference import hub, listing
from emotion_detective.inference.model import LABELS
from emotion_detective.inference.pictures import DECODE_ERRORS, read_picture
from emotion_detective.training import layout, sources
from emotion_detective.training.layout import DROPPED_LABELS, SPLITS, UNDIVIDED, Entry
from emotion_detective.training.sources import Source

logger = logging.getLogger(__name__)

# Kaggle's test/ is FER2013's PublicTest followed by its PrivateTest: how many images of a class it
# holds, and how many of these, in numeric order of the file name, are PublicTest. Checked against
# the usage column of FER+ (Barsoum et al. 2016, arXiv 1608.01041).
FER_TEST_COUNTS = dict(zip(LABELS, (958, 1024, 1774, 1233, 1247, 831), strict=True))
FER_PUBLIC_COUNTS = dict(zip(LABELS, (467, 496, 895, 607, 653, 415), strict=True))
FER_FILE = re.compile(r"/im(\d+)\.png$")
# Share of train that becomes validation, or test, where the source has none, and the seed it is
# drawn with.
DRAWN_SHARE, DRAWN_SEED = 0.1, 0
# Part of the cache's key: raise it when what load() returns for the same source changes.
CACHE_VERSION = 4
# What Pillow reads wherever it is installed.
USUAL_FORMATS = ("PNG", "JPEG", "MPO", "BMP", "GIF", "TIFF", "WEBP", "PPM")

FEATURES = datasets.Features(
    image=datasets.Image(),
    label=datasets.ClassLabel(names=list(LABELS)),
    file=datasets.Value("string"),
    clean=datasets.Value("bool"),
)


def load(source: str | Path) -> datasets.DatasetDict:
    """Return train, validation and test with `image`, `label`, `file` and `clean`.

    FER2013 is known by its counts: validation is PublicTest, test is PrivateTest. Any other source
    keeps its own splits; validation or test that it lacks is a stratified share of train, the same
    at every call: what one run was trained on must not validate the next. Of images that stand
    pixel for pixel in several splits, test keeps all, validation those not in test, train those in
    neither; `clean` is False for those of validation and test that stand elsewhere too. An image
    that a plain reader would show otherwise than the page does (16 bits, HEIC, turned by EXIF) is
    kept as a PNG. The result is cached by `datasets`.

    Raises:
        ValueError: a source that is missing, unsafe, incomplete or has a broken image.
    """
    if hub.is_on_hub(source):
        published = hub.load_hub_dataset(str(source))
        if _is_prepared(published):
            return datasets.DatasetDict({split: published[split] for split in SPLITS})
        opened = sources.open_hub_dataset(str(source), published)
    else:
        opened = sources.open_local(source)
    opened = replace(opened, entries=_assign_splits(opened))
    _check_classes(opened)
    rows = _cached_rows(opened)
    parts = datasets.DatasetDict()
    column = np.asarray(rows.data.column("split"))
    for split in SPLITS:  # rows come in the order of SPLITS, so each selection is one slice
        parts[split] = rows.select(np.flatnonzero(column == split)).remove_columns("split")
    _log_leaks(opened, parts)
    return parts


def _log_leaks(source: Source, parts: datasets.DatasetDict) -> None:
    """Say how many images of train and validation stand in a later split too."""
    known = Counter(entry.split for entry in source.entries if entry.label in LABELS)
    for split, part in parts.items():
        if left_out := known[split] - len(part):
            logger.info(
                "%s: %d of %s left out, which stand in a later split too.",
                source.name,
                left_out,
                split,
            )


def to_tensors(split: datasets.Dataset, image_size: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `(N, 1, S, S)` uint8 gray images and `(N,)` int64 labels.

    Gray conversion and resizing are PIL's, as in the checkpoint's preprocessing, bit for bit.
    """
    images = torch.empty(len(split), 1, image_size, image_size, dtype=torch.uint8)
    for i, picture in enumerate(tqdm(split["image"], desc="decoding", leave=False)):
        gray = picture.convert("L").resize((image_size, image_size), Image.Resampling.BILINEAR)
        images[i, 0] = torch.from_numpy(np.array(gray))
    return images, torch.tensor(split["label"])


def subset(split: datasets.Dataset, limit: int | None, seed: int) -> datasets.Dataset:
    """Return at most `limit` rows, the same ones for the same seed; all of them without a limit.

    Raises:
        ValueError: there are none.
    """
    if not len(split):
        raise ValueError(
            "No image is left to train on: all of train stand in validation or test too. Give each "
            "split images of its own."
        )
    if limit is None or limit >= len(split):
        return split
    return split.shuffle(seed=seed).select(range(limit))


def _is_prepared(parts: datasets.DatasetDict) -> bool:
    """True for what `train_hub.py prepare` published: splits and clean marks are made."""
    return set(parts) == set(SPLITS) and all(part.features == FEATURES for part in parts.values())


def _assign_splits(source: Source) -> list[Entry]:
    """Return the entries in the three splits, and log what each was made of."""
    entries = source.entries
    counts = Counter(entry.label for entry in entries if entry.split == "test")
    named = all(FER_FILE.search(entry.file) for entry in entries)
    if named and all(counts[label] == count for label, count in FER_TEST_COUNTS.items()):
        entries = _divide_fer_test(entries)
    entries = layout.told_by_file_names(entries)
    if all(entry.split == UNDIVIDED for entry in entries):
        entries = [replace(entry, split="train") for entry in entries]
    present = {entry.split for entry in entries}
    missing = [split for split in SPLITS if split not in present]
    if missing and "train" in present:
        logger.warning(
            "%s has no %s: a stratified %d%% of train becomes %s.",
            source.name,
            " and no ".join(missing),
            round(100 * DRAWN_SHARE),
            " and as much ".join(missing),
        )
        entries = _draw(entries, missing)
    layout.log_splits(source.name, entries)
    return entries


def _divide_fer_test(entries: list[Entry]) -> list[Entry]:
    """Call the first images of test in each class validation: they are PublicTest."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        if entry.split == "test" and entry.label in LABELS:
            by_label[entry.label].append(i)
    divided = list(entries)
    for label, indices in by_label.items():
        indices.sort(key=lambda i: int(FER_FILE.search(entries[i].file)[1]))
        for i in indices[: FER_PUBLIC_COUNTS[label]]:
            divided[i] = replace(entries[i], split="validation")
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
        count = max(1, round(DRAWN_SHARE * len(indices)))
        for number, split in enumerate(splits):
            for i in drawn[number * count : (number + 1) * count]:
                origin = entries[i].origin or "the class folders"
                divided[i] = replace(entries[i], split=split, origin=f"a share of {origin}")
    return divided


def _check_classes(source: Source) -> None:
    counts = Counter((entry.split, entry.label) for entry in source.entries)
    unknown = sorted({label for _, label in counts} - set(LABELS) - set(DROPPED_LABELS))
    if unknown:
        raise ValueError(
            f"{source.name} has the unknown class {', '.join(map(repr, unknown))}; the known ones "
            f"are {', '.join(LABELS)} and their usual other names ({', '.join(DROPPED_LABELS)} is "
            "dropped). Rename or remove it."
        )
    for split in SPLITS:
        empty = [label for label in LABELS if not counts[split, label]]
        if empty:
            raise ValueError(
                f"{source.name} has no images of {', '.join(empty)} for the split {split}: every "
                "split needs an image of each class, and train 2 of each where validation or test "
                "is missing, 3 where both are."
            )


def _cached_rows(source: Source) -> datasets.Dataset:
    features = datasets.Features(**FEATURES, split=datasets.Value("string"))
    key = listing.hash_lines((source.key, str(CACHE_VERSION)))
    try:
        return datasets.Dataset.from_generator(
            lambda: _rows(source), features=features, fingerprint=key
        )
    except datasets.exceptions.DatasetGenerationError as error:
        if isinstance(error.__cause__, ValueError):  # our own sentence about a broken image
            raise error.__cause__ from None
        raise


def _rows(source: Source) -> Iterator[dict]:
    """Yield the rows in the order of SPLITS; reads every image twice rather than holding all."""
    hashes = [
        _pixel_hash(source, i) if entry.label in LABELS else None
        for i, entry in enumerate(tqdm(source.entries, desc="reading", leave=False))
    ]
    members = {
        split: {h for h, e in zip(hashes, source.entries, strict=True) if e.split == split}
        for split in SPLITS
    }
    whole = _is_copy_of_test(source, hashes, members["test"])
    for split in SPLITS:
        for i, entry in enumerate(source.entries):
            if entry.split != split or hashes[i] is None:
                continue
            elsewhere = {
                other for other in SPLITS if other != split and hashes[i] in members[other]
            }
            if _leaks(split, elsewhere) and not (whole and split == "validation"):
                continue
            yield {
                "image": {"bytes": _as_all_read(source.read(i)), "path": None},
                "label": entry.label,
                "file": entry.file,
                "clean": not elsewhere,
                "split": split,
            }


def _is_copy_of_test(source: Source, hashes: list[bytes | None], test: set[bytes]) -> bool:
    """True where validation would lose all images of a class to test: it is test by another name.

    Such a validation is kept: what a run chooses on it is chosen on test, and the log says so.
    """
    own = {
        entry.label
        for entry, pixels in zip(source.entries, hashes, strict=True)
        if entry.split == "validation" and pixels not in test
    }
    if own.issuperset(LABELS):
        return False
    logger.warning(
        "%s: validation holds the images of test, and is kept for want of others: what a run "
        "chooses on it is chosen on test.",
        source.name,
    )
    return True


def _leaks(split: str, elsewhere: set[str]) -> bool:
    """Train gives way to validation and test, validation to test, test to none."""
    return bool(elsewhere & set(SPLITS[SPLITS.index(split) + 1 :]))


def _pixel_hash(source: Source, index: int) -> bytes:
    try:
        opened = read_picture(source.read(index))
        if opened.notice:
            raise ValueError(opened.notice)
        gray = opened.picture.convert("L")
    except (*DECODE_ERRORS, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The image {source.entries[index].file} of {source.name} cannot be read: replace or "
            "remove it."
        ) from error
    return hashlib.sha256(repr(gray.size).encode() + gray.tobytes()).digest()


def _as_all_read(content: bytes) -> bytes:
    """Return an image file that every reader shows as the page does: itself, or else a PNG."""
    shown = read_picture(content).picture
    try:
        with Image.open(io.BytesIO(content)) as plain:
            if plain.format in USUAL_FORMATS and plain.convert("RGB").tobytes() == shown.tobytes():
                return content
    except DECODE_ERRORS:
        pass
    png = io.BytesIO()
    shown.save(png, "PNG")
    return png.getvalue()
