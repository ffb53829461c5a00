"""FER2013 and sources like it -> `datasets.DatasetDict` with six classes, free of leaks.

The way is straight: what the source is, its list of pictures (`sources.py`), their folders' names
(`layout.py`), their splits (`splits.py`), and here the rows. Knows no network and no optimiser.
"""

import hashlib
import io
import logging
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import torch
from PIL import Image
from tqdm.auto import tqdm

from emotion_detective import LABELS
from emotion_detective.data import listing, sources
from emotion_detective.data.layout import SPLITS, Entry, arrange
from emotion_detective.data.listing import Files
from emotion_detective.data.splits import assign_splits
from emotion_detective.files import DECODE_ERRORS, read_picture

logger = logging.getLogger(__name__)

# Part of the cache's key: raise it when what load() returns for the same source changes.
CACHE_VERSION = 5
# What Pillow reads wherever it is installed.
USUAL_FORMATS = ("PNG", "JPEG", "BMP", "GIF", "TIFF", "WEBP", "PPM")

FEATURES = datasets.Features(
    image=datasets.Image(),
    label=datasets.ClassLabel(names=list(LABELS)),
    file=datasets.Value("string"),
    clean=datasets.Value("bool"),
)
# Of the dataset that `train_hub.py prepare` publishes.
PREPARED = dict.fromkeys(SPLITS, FEATURES)


def load(source: str | Path) -> datasets.DatasetDict:
    """Return train, validation and test with `image`, `label`, `file` and `clean`.

    Of FER2013 validation is PublicTest and test is PrivateTest. Any other source keeps its own
    splits; validation or test that it lacks is a stratified fraction of train, the same at every
    call. Exact duplicates stay in the last split alone; `clean` is False for those of validation
    and test that have one elsewhere. An image that a plain reader would show otherwise than the
    page does (16 bits, HEIC, rotated by EXIF) is kept as a PNG. `datasets` caches the result.
    """
    parts = _load(source, None)
    if lost := set(range(len(LABELS))).difference(parts["train"]["label"]):
        raise ValueError(
            f"{source}: every image of {', '.join(LABELS[i] for i in sorted(lost))} in train is an "
            "exact duplicate of one in validation or test. Give each split images of its own."
        )
    return parts


def load_split(source: str | Path, split: str) -> datasets.Dataset:
    """Return one split to be measured, of the classes that it has; other splits may be missing.

    Class folders alone are that split as a whole.
    """
    return _load(source, split)[split]


def _load(source: str | Path, measured: str | None) -> datasets.DatasetDict:
    published = sources.open_dataset(source)
    # As `train_hub.py prepare` made it, with its clean marks.
    if published and {split: part.features for split, part in published.items()} == PREPARED:
        return datasets.DatasetDict({split: published[split] for split in SPLITS})
    files = sources.find_pictures(source, published)
    entries = assign_splits(files.source, arrange(files.source, files.paths), measured)
    entries = [entry for entry in entries if entry.label in LABELS]
    entries.sort(key=lambda entry: SPLITS.index(entry.split))  # then a split's rows are a slice
    rows = _cache_rows(files, entries)
    column = np.asarray(rows.data.column("split"))
    rows = rows.remove_columns("split")
    parts = datasets.DatasetDict({s: rows.select(np.flatnonzero(column == s)) for s in SPLITS})
    counts = Counter(entry.split for entry in entries)
    for split, part in parts.items():
        if left_out := counts[split] - len(part):
            sentence = "%s: %d of %s are left out: exact duplicates of a later split."
            logger.info(sentence, files.source, left_out, split)
    return parts


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
    """Return `limit` rows drawn with the seed; all of them where there are no more, or no limit."""
    if limit is None or limit >= len(split):
        return split
    return split.shuffle(seed=seed).select(range(limit))


def _cache_rows(files: Files, entries: list[Entry]) -> datasets.Dataset:
    features = datasets.Features(**FEATURES, split=datasets.Value("string"))
    counts = Counter(entry.split for entry in entries)
    sizes = "-".join(str(counts[split]) for split in SPLITS)  # as `load` and `load_split` differ
    try:
        return datasets.Dataset.from_generator(
            lambda: _make_rows(files, entries),
            features=features,
            fingerprint=f"{CACHE_VERSION}-{sizes}-{files.key[:32]}",
        )
    except datasets.exceptions.DatasetGenerationError as error:
        if isinstance(error.__cause__, ValueError):  # our sentence about a broken image
            raise error.__cause__ from None
        raise


def _make_rows(files: Files, entries: list[Entry]) -> Iterator[dict]:
    """Yield the rows without duplicates; read every image twice rather than hold all."""
    hashes = [_hash_pixels(files, entry) for entry in tqdm(entries, desc="reading", leave=False)]
    splits: dict[bytes, set[str]] = {}  # in which an image is
    for pixels, entry in zip(hashes, entries, strict=True):
        splits.setdefault(pixels, set()).add(entry.split)
    keeps_copies = _is_copy_of_test(entries, [splits[pixels] for pixels in hashes])
    if keeps_copies:
        logger.warning(
            "%s: validation holds the images of test, and is kept for want of others: what a run "
            "chooses on it is chosen on test.",
            files.source,
        )
    for pixels, entry in zip(hashes, entries, strict=True):
        is_last = entry.split == max(splits[pixels], key=SPLITS.index)
        if is_last or (keeps_copies and entry.split == "validation"):
            with files.open(entry.index) as file:
                image = _plain_image(file.read())
            yield {
                "image": image,
                "label": entry.label,
                "file": entry.file,
                "clean": len(splits[pixels]) == 1,
                "split": entry.split,
            }


def _is_copy_of_test(entries: list[Entry], splits: list[set[str]]) -> bool:
    """Return whether validation would lose a class if it lost what is in test too."""
    pairs = [pair for pair in zip(entries, splits, strict=True) if pair[0].split == "validation"]
    own = {entry.label for entry, its_splits in pairs if "test" not in its_splits}
    return own != {entry.label for entry, _ in pairs}


def _hash_pixels(files: Files, entry: Entry) -> bytes:
    try:
        with files.open(entry.index) as file:
            opened = read_picture(file.read())
        if opened.is_cut:
            raise ValueError(opened.notice)
        gray = opened.picture.convert("L")
    except (*DECODE_ERRORS, *listing.ZIP_ERRORS) as error:
        raise ValueError(
            f"The image {entry.file} of {files.source} cannot be read: replace or remove it."
        ) from error
    return hashlib.sha256(repr(gray.size).encode() + gray.tobytes()).digest()


def _plain_image(content: bytes) -> dict | Image.Image:
    """Return an image file itself where Pillow alone shows it as the page does, or its picture."""
    shown = read_picture(content).picture
    try:
        with Image.open(io.BytesIO(content), formats=USUAL_FORMATS) as plain:
            if plain.convert("RGB").tobytes() == shown.tobytes():
                return {"bytes": content, "path": None}
    except DECODE_ERRORS:
        pass
    return shown
