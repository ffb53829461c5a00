"""The files of a folder or zip, or the pictures of a dataset -> their paths, none read yet.

Knows no labels and no splits.
"""

import hashlib
import io
import logging
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, BinaryIO

import datasets

logger = logging.getLogger(__name__)

NAMES_SHOWN = 4
# What says whether a file is a picture, or which columns a table has.
HEAD_BYTES = 4096
# What an entry that is broken, encrypted or packed in another way raises.
ZIP_ERRORS = (zipfile.BadZipFile, zlib.error, RuntimeError, NotImplementedError, EOFError)


@dataclass(frozen=True)
class Files:
    """Files of a source by their paths in it, and a key that changes with them."""

    source: str
    key: str
    paths: list[str]
    places: Sequence  # of each path, what `open_place` takes
    open_place: Callable[[Any], BinaryIO]

    def open(self, i: int) -> BinaryIO:
        """Open the file of `paths[i]`."""
        return self.open_place(self.places[i])

    def head(self, i: int) -> bytes:
        """Return the first bytes of the file of `paths[i]`; none where it cannot be read."""
        try:
            with self.open(i) as file:
                return file.read(HEAD_BYTES)
        except (OSError, *ZIP_ERRORS):
            return b""


def warn_left_out(source: str, count: int, what: str, names: Iterable[str]) -> None:
    """Log what of a source is not used, with some of its names."""
    logger.warning("%s: %d %s are left out (%s).", source, count, what, some_of(names))


def some_of(names: Iterable[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    names = sorted(set(names))
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    return ", ".join(names[:NAMES_SHOWN]) + more


def list_folder(folder: Path) -> Files:
    """Return the files under a folder in order; an `OSError` is a folder that cannot be opened.

    Links to folders are followed, but not to one that the link itself lies in.
    """
    found, nowhere = [], []
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        around = {os.path.realpath(above) for above in Path(parent, "any").parents}
        folders[:] = [
            name for name in folders if os.path.realpath(f"{parent}/{name}") not in around
        ]
        for name in names:
            (found if (file := Path(parent, name)).is_file() else nowhere).append(file)
    if nowhere:
        names = (file.relative_to(folder).as_posix() for file in nowhere)
        warn_left_out(str(folder), len(nowhere), "links that lead to no file", names)
    return list_files(str(folder), sorted(found), folder)


def _raise(error: OSError) -> None:
    raise error


def list_files(source: str, files: Sequence[Path], top: Path) -> Files:
    """Return files by their paths from the folder `top`."""
    paths = [file.relative_to(top).as_posix() for file in files]
    for path in paths:
        if path != path.encode(errors="replace").decode():
            raise ValueError(f"The name of {path!r} in '{top}' is no UTF-8: rename the file.")
    stats = zip(paths, (file.stat() for file in files), strict=True)
    key = _hash(f"{path} {stat.st_size} {stat.st_mtime_ns}" for path, stat in stats)
    return Files(source, key, paths, files, partial(open, mode="rb"))


def list_zip(path: Path) -> Files:
    """Return the files in a zip, which is never unpacked."""
    changed_ns = path.stat().st_mtime_ns
    try:
        entries = [one for one in _open_zip(path, changed_ns).infolist() if not one.is_dir()]
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise ValueError(f"{path} is a broken zip file: fetch it again.") from error
    paths = [entry.filename.replace("\\", "/") for entry in entries]
    key = _hash(f"{entry.filename} {entry.CRC}" for entry in entries)
    return Files(str(path), key, paths, entries, partial(_open_entry, path, changed_ns))


@lru_cache(maxsize=1)
def _open_zip(path: Path, changed_ns: int) -> zipfile.ZipFile:
    """Return an open zip, which each process keeps: reading its directory takes long."""
    return zipfile.ZipFile(path)


def _open_entry(path: Path, changed_ns: int, entry: zipfile.ZipInfo) -> BinaryIO:
    return _open_zip(path, changed_ns).open(entry)


def list_dataset(source: str, parts: datasets.DatasetDict, by_class: bool) -> Files:
    """Return the pictures in the column `image` of each split by the path split/row.

    `by_class` makes it split/class/row, by the column `label`.
    """
    wanted = {"image": datasets.Image} | ({"label": datasets.ClassLabel} if by_class else {})
    paths, places = [], []
    for split, part in parts.items():
        if not all(isinstance(part.features.get(name), kind) for name, kind in wanted.items()):
            raise ValueError(
                f"The split {split} of {source} has the columns {', '.join(part.features)}; it "
                f"needs pictures in a column `image`{' and class names in `label`' * by_class}."
            )
        folders = _class_folders(source, split, part) if by_class else [split] * len(part)
        paths += [f"{folder}/{row}" for row, folder in enumerate(folders)]
        places += [(split, row) for row in range(len(part))]
    undecoded = parts.select_columns("image").cast_column("image", datasets.Image(decode=False))
    # `datasets` names the folder of what it loads by the hash of the files that it came from, which
    # is the same on every machine.
    key = _hash(
        f"{split} {len(part)} {Path(file['filename']).parent.name}"
        for split, part in parts.items()
        for file in part.cache_files
    )
    return Files(source, key, paths, places, partial(_open_row, undecoded))


def _class_folders(source: str, split: str, part: datasets.Dataset) -> list[str]:
    names = part.features["label"].names
    for row, label in enumerate(labels := part["label"][:]):
        if label in (None, -1):  # how `datasets` marks a missing label
            raise ValueError(f"Row {row} of the split {split} of {source} has no label.")
    return [f"{split}/{names[label].replace('/', ' ')}" for label in labels]


def _open_row(parts: datasets.DatasetDict, place: tuple[str, int]) -> BinaryIO:
    split, row = place
    image = parts[split][row]["image"] or {"bytes": None, "path": None}
    if image["bytes"] is not None:
        return io.BytesIO(image["bytes"])
    if image["path"] is None:
        raise ValueError("The row has no picture.")
    return open(image["path"], "rb")  # as datasets of image files have it


def _hash(lines: Iterable[str]) -> str:
    digest = hashlib.sha256()
    for line in lines:
        digest.update(line.encode() + b"\n")
    return digest.hexdigest()
