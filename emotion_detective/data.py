"""FER2013 and sources like it -> `datasets.DatasetDict` with six classes, free of leaks.

A source is the Kaggle zip, the folder it unpacks to (`{train,test}/{class}/imN.png`) or a Hub
dataset. This module decides which image belongs to which split, drops what would leak from one
split into another, and turns a split into tensors. It knows no network and no optimiser.
"""

import hashlib
import io
import logging
import re
import zipfile
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

import datasets
import numpy as np
import torch
from PIL import Image, UnidentifiedImageError
from tqdm.auto import tqdm

from emotion_detective.model import LABELS

logger = logging.getLogger(__name__)

DROPPED_LABELS = ("disgusted",)
SPLITS = ("train", "validation", "test")
PICTURE_SUFFIXES = {".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff"}
# Kaggle's test/ is FER2013's PublicTest followed by its PrivateTest: how many images of a class it
# holds, and how many of these, in numeric order of the file name, are PublicTest. Checked against
# the usage column of FER+ (Barsoum et al. 2016, arXiv 1608.01041).
FER_TEST_COUNTS = dict(zip(LABELS, (958, 1024, 1774, 1233, 1247, 831), strict=True))
FER_PUBLIC_COUNTS = dict(zip(LABELS, (467, 496, 895, 607, 653, 415), strict=True))
# Share of train that becomes validation where the source has none.
VALIDATION_SHARE = 0.1
# Part of the cache's key: raise it when what load() returns for the same source changes.
CACHE_VERSION = 1

FEATURES = datasets.Features(
    image=datasets.Image(),
    label=datasets.ClassLabel(names=list(LABELS)),
    file=datasets.Value("string"),
    clean=datasets.Value("bool"),
)


@dataclass(frozen=True)
class Entry:
    """One image of a source: its split, label and name there, before anything is read."""

    split: str
    label: str
    file: str


@dataclass(frozen=True)
class Source:
    """Where images come from: entries, how to read one, a key that changes with them."""

    name: str
    entries: list[Entry]
    read: Callable[[int], bytes]  # index into the listing that `entries` was made from
    key: str


def load(source: str | Path, seed: int = 0) -> datasets.DatasetDict:
    """Return train, validation and test with `image`, `label`, `file` and `clean`.

    FER2013 is known by its counts: validation is PublicTest, test is PrivateTest. Any other source
    keeps its own validation split or gets a stratified one, drawn with `seed`. Of images that
    stand pixel for pixel in several splits, test keeps all, validation those not in test, train
    those in neither; `clean` is False for those of test that stand elsewhere too. The result is
    cached by `datasets`.

    Raises:
        ValueError: a source that is missing, unsafe, incomplete or has a broken image.
    """
    opened = _open_source(source)
    if isinstance(opened, datasets.DatasetDict):
        return opened
    opened = replace(opened, entries=_assign_splits(opened, seed))
    _check_classes(opened)
    rows = _cached_rows(opened, seed)
    parts = datasets.DatasetDict()
    column = np.asarray(rows.data.column("split"))
    for split in SPLITS:  # rows come in the order of SPLITS, so each selection is one slice
        parts[split] = rows.select(np.flatnonzero(column == split)).remove_columns("split")
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
    """Return at most `limit` rows, the same ones for the same seed; all of them without a limit."""
    if limit is None or limit >= len(split):
        return split
    return split.shuffle(seed=seed).select(range(limit))


def _open_source(source: str | Path) -> Source | datasets.DatasetDict:
    path = Path(source)
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _open_zip(path)
    if re.fullmatch(r"[\w.-]+/[\w.-]+", str(source)) and path.suffix != ".zip":
        return _open_hub(str(source))
    raise ValueError(
        f"There is no data at {str(source)!r}. --data takes the zip from Kaggle "
        "(ananthu017/emotion-detection-fer), the folder it unpacks to, or a Hub dataset id."
    )


def _open_zip(path: Path) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except zipfile.BadZipFile as error:
        raise ValueError(f"{path} is not a zip file, or a broken one: fetch it again.") from error
    infos = [info for info in archive.infolist() if not info.is_dir()]
    for info in infos:
        name = info.filename.replace("\\", "/")
        if name.startswith("/") or ":" in name or ".." in name.split("/"):
            raise ValueError(
                f"{path} has an entry that points outside of it ({info.filename!r}): do not use it."
            )
    names = [info.filename for info in infos]
    key = _hash(f"{info.filename} {info.CRC}" for info in infos)
    return _arrange(str(path), names, lambda i: archive.read(infos[i]), key)


def _open_folder(path: Path) -> Source:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = [file.relative_to(path).as_posix() for file in files]
    stats = [file.stat() for file in files]
    key = _hash(
        f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in zip(names, stats, strict=True)
    )
    return _arrange(str(path), names, lambda i: files[i].read_bytes(), key)


def _arrange(name: str, names: list[str], read: Callable[[int], bytes], key: str) -> Source:
    """Keep the pictures in `.../{split}/{class}/file`; the folders are split and label."""
    picked = [
        (i, Entry(split=parts[-3], label=parts[-2], file="/".join(parts[-3:])))
        for i, parts in enumerate(name.split("/") for name in names)
        if len(parts) >= 3 and parts[-3] in SPLITS and _is_picture(parts[-1])
    ]
    if not picked:
        raise ValueError(
            f"{name} holds no pictures in train/CLASS/ and test/CLASS/ folders, as in Kaggle's "
            "ananthu017/emotion-detection-fer."
        )
    indices = [i for i, _ in picked]
    entries = [entry for _, entry in picked]
    return Source(name, entries, lambda i: read(indices[i]), key)


def _is_picture(name: str) -> bool:
    # macOS puts "._im0.png" beside "im0.png" in the zips it makes.
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def _open_hub(repo_id: str) -> Source | datasets.DatasetDict:
    """Load a Hub dataset; one that `prepare` published comes back as it is."""
    try:
        parts = datasets.load_dataset(repo_id)
    except (datasets.exceptions.DatasetNotFoundError, ConnectionError, OSError) as error:
        reason = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise ValueError(
            f"The dataset {repo_id} could not be loaded from the Hub ({reason}). Check the id, "
            "your token if it is private, and the network; or name a zip or folder."
        ) from error
    if set(parts) == set(SPLITS) and all(part.features == FEATURES for part in parts.values()):
        return datasets.DatasetDict({split: parts[split] for split in SPLITS})
    return _arrange_hub(repo_id, parts)


def _arrange_hub(repo_id: str, parts: datasets.DatasetDict) -> Source:
    for split, part in parts.items():
        label = part.features.get("label")
        if "image" not in part.features or not isinstance(label, datasets.ClassLabel):
            raise ValueError(
                f"The split {split} of {repo_id} has the columns {', '.join(part.features)}; it "
                "needs an `image` column and a `label` column of class names."
            )
    undecoded = {
        split: part.cast_column("image", datasets.Image(decode=False))
        for split, part in parts.items()
    }
    places = [(split, row) for split, part in parts.items() for row in range(len(part))]
    names = {split: part.features["label"].names for split, part in parts.items()}
    labels = {split: part["label"] for split, part in parts.items()}
    entries = [
        Entry(split, names[split][labels[split][row]], f"{split}/{row}") for split, row in places
    ]

    def read(i: int) -> bytes:
        split, row = places[i]
        return undecoded[split][row]["image"]["bytes"]

    key = _hash(f"{split} {part._fingerprint}" for split, part in parts.items())
    return Source(repo_id, entries, read, key)


def _hash(lines: Iterator[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()


def _assign_splits(source: Source, seed: int) -> list[Entry]:
    entries = source.entries
    counts = Counter(entry.label for entry in entries if entry.split == "test")
    if all(counts[label] == count for label, count in FER_TEST_COUNTS.items()):
        return _divide_fer_test(entries)
    if any(entry.split == "validation" for entry in entries):
        return entries
    logger.warning(
        "%s does not have FER2013's counts: a stratified %d%% of train, drawn with seed %d, "
        "becomes validation.",
        source.name,
        round(100 * VALIDATION_SHARE),
        seed,
    )
    return _draw_validation(entries, seed)


def _divide_fer_test(entries: list[Entry]) -> list[Entry]:
    """Call the first images of test in each class validation: they are PublicTest."""
    by_label: dict[str, list[int]] = defaultdict(list)
    for i, entry in enumerate(entries):
        if entry.split == "test" and entry.label in LABELS:
            by_label[entry.label].append(i)
    divided = list(entries)
    for label, indices in by_label.items():
        indices.sort(key=lambda i: int(re.sub(r"\D", "", entries[i].file) or 0))
        for i in indices[: FER_PUBLIC_COUNTS[label]]:
            divided[i] = replace(entries[i], split="validation")
    return divided


def _draw_validation(entries: list[Entry], seed: int) -> list[Entry]:
    divided = list(entries)
    rng = np.random.default_rng(seed)
    for label in LABELS:
        indices = [i for i, e in enumerate(entries) if (e.split, e.label) == ("train", label)]
        for i in rng.permutation(indices)[: round(VALIDATION_SHARE * len(indices))]:
            divided[i] = replace(entries[i], split="validation")
    return divided


def _check_classes(source: Source) -> None:
    counts = Counter((entry.split, entry.label) for entry in source.entries)
    unknown = sorted({label for _, label in counts} - set(LABELS) - set(DROPPED_LABELS))
    if unknown:
        raise ValueError(
            f"{source.name} has the unknown class {', '.join(map(repr, unknown))}; the known ones "
            f"are {', '.join(LABELS)} ({', '.join(DROPPED_LABELS)} is dropped)."
        )
    for split in SPLITS:
        empty = [label for label in LABELS if not counts[split, label]]
        if empty:
            raise ValueError(
                f"{source.name} has no images of {', '.join(empty)} for the split {split}: every "
                "split needs some of each class."
            )


def _cached_rows(source: Source, seed: int) -> datasets.Dataset:
    features = datasets.Features(**FEATURES, split=datasets.Value("string"))
    key = _hash(iter((source.key, str(seed), str(CACHE_VERSION))))
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
    for split in SPLITS:
        for i, entry in enumerate(source.entries):
            if entry.split != split or hashes[i] is None:
                continue
            elsewhere = {
                other for other in SPLITS if other != split and hashes[i] in members[other]
            }
            if _leaks(split, elsewhere):
                continue
            yield {
                "image": {"bytes": source.read(i), "path": None},
                "label": entry.label,
                "file": entry.file,
                "clean": not elsewhere,
                "split": split,
            }


def _leaks(split: str, elsewhere: set[str]) -> bool:
    """Train gives way to validation and test, validation to test, test to none."""
    return bool(elsewhere & set(SPLITS[SPLITS.index(split) + 1 :]))


def _pixel_hash(source: Source, index: int) -> bytes:
    try:
        with Image.open(io.BytesIO(source.read(index))) as picture:
            gray = picture.convert("L")
    except (UnidentifiedImageError, OSError, SyntaxError, zipfile.BadZipFile) as error:
        raise ValueError(
            f"The image {source.entries[index].file} of {source.name} cannot be read: replace or "
            "remove it."
        ) from error
    return hashlib.sha256(repr(gray.size).encode() + gray.tobytes()).digest()
