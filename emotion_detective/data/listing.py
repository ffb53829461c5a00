"""What a folder of pictures or a Hub dataset holds, and a key that changes with it.

Knows no label and no split: `analysis.py` reads pictures by it, training its sources.
"""

import hashlib
import logging
import os
from collections.abc import Iterable, Sequence
from pathlib import Path

import datasets

logger = logging.getLogger(__name__)

NAMES_TOLD = 4


def files(folder: Path) -> tuple[list[Path], list[str]]:
    """Return the files under a folder in order, and their paths from there.

    Links to folders are followed, never into themselves; those that lead nowhere are logged.

    Raises:
        ValueError: a name that is no text, which no table can hold.
        OSError: a folder that cannot be opened.
    """
    found, nowhere = [], []
    for parent, folders, names in os.walk(folder, onerror=_raise, followlinks=True):
        above = {os.path.realpath(parent), *map(os.path.realpath, _parents(parent, folder))}
        folders[:] = [name for name in folders if os.path.realpath(f"{parent}/{name}") not in above]
        for name in names:
            (found if (file := Path(parent, name)).is_file() else nowhere).append(file)
    if nowhere:
        told = [path.relative_to(folder).as_posix() for path in nowhere]
        warn_left_out(str(folder), len(nowhere), "links that lead to no file", told)
    found.sort()
    names = [path.relative_to(folder).as_posix() for path in found]
    for name in names:
        if name != name.encode(errors="replace").decode():
            raise ValueError(f"The name of {name!r} in '{folder}' is no UTF-8: rename the file.")
    return found, names


def _raise(error: OSError) -> None:
    raise error


def _parents(path: str, top: Path) -> list[Path]:
    return [parent for parent in Path(path).parents if parent.is_relative_to(top)]


def warn_left_out(name: str, count: int, what: str, names: Iterable[str]) -> None:
    """Log what of a source is not used, with some of its names."""
    logger.warning("%s: %d %s are left out (%s).", name, count, what, some_of(names))


def some_of(names: Iterable[str]) -> str:
    """Return the first few of some names, and how many more there are."""
    names = sorted(set(names))
    more = f" and {len(names) - NAMES_TOLD} more" if len(names) > NAMES_TOLD else ""
    told = ", ".join(names[:NAMES_TOLD]) + more
    return told.encode(errors="replace").decode()


def is_gap(image: dict | None) -> bool:
    """True where an undecoded image of a dataset is none: it is None, or holds None twice."""
    return image is None or (image["bytes"] is None and image["path"] is None)


def hash_parts(parts: datasets.DatasetDict) -> str:
    """Return a key that changes with a Hub dataset's files, and is the same on every machine.

    `datasets` keeps what it loads in a folder that is named after their hash.
    """
    return hash_lines(
        f"{split} {len(part)} {Path(file['filename']).parent.name}"
        for split, part in parts.items()
        for file in part.cache_files
    )


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
