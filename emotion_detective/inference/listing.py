"""What a folder of pictures or a Hub dataset holds, and a key that changes with it.

Knows no label and no split: `analysis.py` reads pictures by it, training its sources.
"""

import hashlib
import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import datasets


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files under a folder; links to folders are followed, never into themselves."""
    for parent, folders, names in os.walk(folder, followlinks=True):
        above = {os.path.realpath(parent), *map(os.path.realpath, _parents(parent, folder))}
        folders[:] = [name for name in folders if os.path.realpath(f"{parent}/{name}") not in above]
        yield from (file for name in names if (file := Path(parent, name)).is_file())


def _parents(path: str, top: Path) -> list[Path]:
    return [parent for parent in Path(path).parents if parent.is_relative_to(top)]


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
