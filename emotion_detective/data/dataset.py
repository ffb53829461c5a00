"""FER2013 and sources like it -> `datasets.DatasetDict` with six classes, free of leaks.

A source (`sources.py`) lists its images and `splits.py` divides them; this module reads them, drops
what would leak from one split into another, and turns a split into tensors. It knows no network and
no optimiser.
"""

import hashlib
import io
import logging
import zipfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from emotion_detective import LABELS
from emotion_detective.core import hub
from emotion_detective.data import listing, sources, splits
from emotion_detective.data.layout import SPLITS
from emotion_detective.data.sources import Source
from emotion_detective.files import DECODE_ERRORS, read_picture

logger = logging.getLogger(__name__)

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

    Of FER2013 validation is PublicTest and test is PrivateTest. Any other source keeps its own
    splits; validation or test that it lacks is a stratified share of train, the same at every call:
    no run may be validated on what an earlier one was trained on. Of images that stand pixel for
    pixel in several splits, test keeps all, validation those not in test, train those in neither;
    `clean` is False for those of validation and test that stand elsewhere too. An image that a
    plain reader would show otherwise than the page does (16 bits, HEIC, turned by EXIF) is kept as
    a PNG. `datasets` caches the result.

    Raises:
        ValueError: the source is missing, unsafe or incomplete, or has a broken image.
    """
    if hub.is_on_hub(source):
        published = hub.load_hub_dataset(str(source))
        if _is_prepared(published):
            return datasets.DatasetDict({split: published[split] for split in SPLITS})
        opened = sources.open_hub_dataset(str(source), published)
    else:
        opened = sources.open_local(source)
    opened = replace(opened, entries=splits.assign_splits(opened.name, opened.entries))
    rows = _cache_rows(opened)
    parts = datasets.DatasetDict()
    column = np.asarray(rows.data.column("split"))
    for split in SPLITS:  # rows come in the order of SPLITS, so each selection is one slice
        parts[split] = rows.select(np.flatnonzero(column == split)).remove_columns("split")
    _log_leaks(opened, parts)
    return parts


def _log_leaks(source: Source, parts: datasets.DatasetDict) -> None:
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
    """Return `limit` rows drawn with the seed; all of them where there are no more, or no limit.

    Raises:
        ValueError: the split is empty.
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
    """Return whether `train_hub.py prepare` made the splits, with their clean marks."""
    return set(parts) == set(SPLITS) and all(part.features == FEATURES for part in parts.values())


def _cache_rows(source: Source) -> datasets.Dataset:
    features = datasets.Features(**FEATURES, split=datasets.Value("string"))
    key = listing.hash_lines((source.key, str(CACHE_VERSION)))
    try:
        return datasets.Dataset.from_generator(
            lambda: _make_rows(source), features=features, fingerprint=key
        )
    except datasets.exceptions.DatasetGenerationError as error:
        if isinstance(error.__cause__, ValueError):  # our sentence about a broken image
            raise error.__cause__ from None
        raise


def _make_rows(source: Source) -> Iterator[dict]:
    """Yield the rows in the order of SPLITS; read every image twice rather than hold all."""
    hashes = [
        _hash_pixels(source, i) if entry.label in LABELS else None
        for i, entry in enumerate(tqdm(source.entries, desc="reading", leave=False))
    ]
    members = {
        split: {h for h, e in zip(hashes, source.entries, strict=True) if e.split == split}
        for split in SPLITS
    }
    is_copy = _is_validation_test(source, hashes, members["test"])
    for split in SPLITS:
        for i, entry in enumerate(source.entries):
            if entry.split != split or hashes[i] is None:
                continue
            elsewhere = {
                other for other in SPLITS if other != split and hashes[i] in members[other]
            }
            later = elsewhere.intersection(SPLITS[SPLITS.index(split) + 1 :])
            if later and not (is_copy and split == "validation"):
                continue
            yield {
                "image": {"bytes": _to_plain_file(source.read(i)), "path": None},
                "label": entry.label,
                "file": entry.file,
                "clean": not elsewhere,
                "split": split,
            }


def _is_validation_test(source: Source, hashes: list[bytes | None], test: set[bytes]) -> bool:
    """Return whether validation would lose all images of a class to test; warn if so.

    It is then test by another name, and is kept.
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


def _hash_pixels(source: Source, index: int) -> bytes:
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


def _to_plain_file(content: bytes) -> bytes:
    """Return the image file itself where every reader shows it as the page does, or else a PNG."""
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
