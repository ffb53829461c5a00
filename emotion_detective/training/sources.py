"""Where images come from: the Kaggle zip, the folder it unpacks to, or a Hub dataset.

`open_local` and `open_hub_dataset` list what a source holds, without reading an image yet, or say
in one sentence why it cannot be used. `data.py` makes splits of it. Knows no labels and no split
rules.
"""

import hashlib
import zipfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import datasets

SPLITS = ("train", "validation", "test")
PICTURE_SUFFIXES = {
    *(".png", ".jpg", ".jpeg", ".bmp", ".webp", ".gif", ".tif", ".tiff", ".avif"),
    *(".ppm", ".pgm", ".pbm"),
}


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


def open_local(source: str | Path) -> Source:
    """Return what a zip or folder holds.

    Raises:
        ValueError: nothing there, an unsafe or broken zip, or another layout.
    """
    path = Path(source)
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _open_zip(path)
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
    key = hash_lines(f"{info.filename} {info.CRC}" for info in infos)
    return _arrange(str(path), names, lambda i: archive.read(infos[i]), key)


def _open_folder(path: Path) -> Source:
    files = sorted(file for file in path.rglob("*") if file.is_file())
    names = [file.relative_to(path).as_posix() for file in files]
    key = hash_files(files, names)
    return _arrange(str(path), names, lambda i: files[i].read_bytes(), key)


def _arrange(name: str, names: list[str], read: Callable[[int], bytes], key: str) -> Source:
    """Keep the pictures in `.../{split}/{class}/file`; the folders are split and label."""
    picked = [
        (i, Entry(split=parts[-3], label=parts[-2], file="/".join(parts[-3:])))
        for i, parts in enumerate(name.split("/") for name in names)
        if len(parts) >= 3 and parts[-3] in SPLITS and is_picture(parts[-1])
    ]
    if not picked:
        raise ValueError(
            f"{name} holds no pictures in train/CLASS/ and test/CLASS/ folders, as in Kaggle's "
            "ananthu017/emotion-detection-fer."
        )
    indices = [i for i, _ in picked]
    entries = [entry for _, entry in picked]
    return Source(name, entries, lambda i: read(indices[i]), key)


def is_picture(name: str) -> bool:
    """True for the name of a picture file."""
    # macOS puts "._im0.png" beside "im0.png" in the zips it makes.
    return not name.startswith(".") and PurePosixPath(name).suffix.lower() in PICTURE_SUFFIXES


def open_hub_dataset(repo_id: str, parts: datasets.DatasetDict) -> Source:
    """Return what a Hub dataset with `image` and `label` columns holds.

    Raises:
        ValueError: it has other columns, or an image without a label.
    """
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
    labels = {split: part["label"][:] for split, part in parts.items()}
    for split, row in places:
        if labels[split][row] in (None, -1):  # what `datasets` has for "no label"
            raise ValueError(f"Row {row} of the split {split} of {repo_id} has no label.")
    entries = [
        Entry(split, names[split][labels[split][row]], f"{split}/{row}") for split, row in places
    ]

    def read(i: int) -> bytes:
        split, row = places[i]
        image = undecoded[split][row]["image"]
        if is_gap(image):
            raise ValueError("a row without an image")
        # Datasets of image files hold their paths.
        return Path(image["path"]).read_bytes() if image["bytes"] is None else image["bytes"]

    key = hash_lines(f"{split} {part._fingerprint}" for split, part in parts.items())
    return Source(repo_id, entries, read, key)


def is_gap(image: dict | None) -> bool:
    """True where an undecoded image of a dataset is none: it is None, or holds None twice."""
    return image is None or (image["bytes"] is None and image["path"] is None)


def hash_files(paths: Sequence[Path], names: Sequence[str]) -> str:
    """Return a key that changes with the names, sizes and times of files."""
    stats = [path.stat() for path in paths]
    return hash_lines(
        f"{name} {stat.st_size} {stat.st_mtime_ns}" for name, stat in zip(names, stats, strict=True)
    )


def hash_lines(lines: Iterable[str]) -> str:
    """Return the SHA-256 of lines, in hexadecimal."""
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
