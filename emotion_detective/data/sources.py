"""Where images come from: a zip, a folder, Kaggle's fer2013.csv, or a Hub dataset.

`open_local` and `open_hub_dataset` list the images of a source without reading one, or say in one
sentence why it cannot be used; `layout.py` finds splits and classes in the names. `data.py` reads
the images. Knows no split rules.
"""

import io
import math
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import datasets
import numpy as np
from PIL import Image

from emotion_detective.data import layout, listing
from emotion_detective.data.ferplus import read_columns, read_header, to_pixels
from emotion_detective.data.layout import Entry
from emotion_detective.files import formats


@dataclass(frozen=True)
class Source:
    """The images of a source: their entries, how to read one, and a key that changes with them."""

    name: str
    entries: list[Entry]
    read: Callable[[int], bytes]  # index into the listing that `entries` was made from
    key: str


def open_local(source: str | Path) -> Source:
    """Return the images of a zip, folder or CSV.

    Raises:
        ValueError: there is nothing, the zip is unsafe or broken, or the layout is another.
    """
    path = Path(source)
    if path.is_dir():
        return _open_folder(path)
    if path.is_file():
        return _open_zip(path) if zipfile.is_zipfile(path) else _open_csv(path)
    raise ValueError(
        f"There is no data at {str(source)!r}. --data takes the zip from Kaggle "
        "(ananthu017/emotion-detection-fer), the folder it unpacks to, fer2013.csv, or a Hub "
        "dataset id."
    )


def _open_zip(path: Path) -> Source:
    try:
        archive = zipfile.ZipFile(path)
    except (zipfile.BadZipFile, UnicodeDecodeError, NotImplementedError) as error:
        raise ValueError(f"{path} is a broken zip file: fetch it again.") from error
    infos = [info for info in archive.infolist() if not info.is_dir()]
    names = [info.filename.replace("\\", "/") for info in infos]
    for name in names:
        if name.startswith("/") or ":" in name or ".." in name.split("/"):
            raise ValueError(
                f"{path} has an entry that points outside of it ({name!r}): do not use it."
            )
    key = listing.hash_lines(f"{info.filename} {info.CRC}" for info in infos)

    def head(i: int) -> bytes:
        try:
            with archive.open(infos[i]) as file:
                return file.read(formats.HEAD_BYTES)
        except (zipfile.BadZipFile, OSError, RuntimeError, NotImplementedError):
            return b""

    tables = [zipfile.Path(archive, info.filename) for info in infos]
    return _arrange(str(path), names, head, lambda i: archive.read(infos[i]), key, tables)


def _open_folder(path: Path) -> Source:
    files, names = listing.files(path)

    def head(i: int) -> bytes:
        with files[i].open("rb") as file:
            return file.read(formats.HEAD_BYTES)

    key = listing.hash_files(files, names)
    return _arrange(str(path), names, head, lambda i: files[i].read_bytes(), key, files)


def _arrange(
    name: str,
    names: list[str],
    head: Callable[[int], bytes],
    read: Callable[[int], bytes],
    key: str,
    tables: Sequence[Path | zipfile.Path],
) -> Source:
    """Keep the pictures whose folders name a split and a class; without pictures, look for a CSV.

    Args:
        names: the paths of all files from the source's top.
        head, read: return the start and the whole of a file by its index.
        tables: the same files, which a CSV is opened from as text.
    """
    # The start of a file is read only where its name says nothing: a zip of 35,000 entries is slow.
    pictures = [
        i
        for i, file in enumerate(names)
        if formats.is_picture(file, b"") or formats.is_picture(file, head(i))
    ]
    found = [table for i, table in enumerate(tables) if _is_table(names[i])]
    if found and not layout.hold_classes(names[i] for i in pictures):
        if ignored := [names[i] for i, table in enumerate(tables) if table not in found]:
            listing.warn_left_out(name, len(ignored), "files that are no tables", ignored)
        return _open_tables(name, found, key)
    if others := set(range(len(names))).difference(pictures):
        listing.warn_left_out(name, len(others), formats.NO_PICTURES, (names[i] for i in others))
    arranged = layout.arrange(name, [names[i] for i in pictures])
    indices = [pictures[i] for i, _ in arranged]
    return Source(name, [entry for _, entry in arranged], lambda i: read(indices[i]), key)


def _is_table(name: str) -> bool:
    return name.lower().endswith(".csv") and not formats.is_hidden(name)


def _open_csv(path: Path) -> Source:
    with path.open("rb") as file:
        head = file.readline(4096)
    name = formats.unread_format(head)
    if name in formats.ARCHIVES.values() and name != formats.ZIP:  # a zip is a broken one here
        raise ValueError(f"{path} is {name}: unpack it and name its folder.")
    if b"pixels" not in head.lower():
        raise ValueError(
            f"{path} is not a zip file, or a broken one, and no CSV with pixels such as "
            "fer2013.csv: fetch it again."
        )
    return _open_tables(str(path), [path], listing.hash_files([path], [path.name]))


def _open_tables(name: str, tables: Sequence[Path | zipfile.Path], key: str) -> Source:
    """Return the images of Kaggle's fer2013.csv, or of one CSV for each split.

    Raises:
        ValueError: no table has emotion and pixels, or one is broken.
    """
    columns = {table: read_header(table) for table in tables}
    faces = [table for table in tables if {"emotion", "pixels"}.issubset(columns[table])]
    if not faces:
        raise ValueError(
            f"{name} has no CSV with the columns emotion and pixels, as Kaggle's fer2013.csv has."
        )
    with_usage = [table for table in faces if "usage" in columns[table]]
    parts = [table for table in faces if _split_of_table(table)]  # train.csv, test.csv
    whole = [table for table in with_usage if table not in parts][:1]
    chosen = whole or with_usage or parts or faces[:1]
    if others := [table.name for table in tables if table not in chosen]:
        listing.warn_left_out(name, len(others), "tables", others)
    return _read_tables(name, chosen, with_usage, key)


def _split_of_table(table: Path | zipfile.Path) -> str | None:
    return layout.split_of(table.name.rpartition(".")[0])


def _read_tables(
    name: str,
    tables: Sequence[Path | zipfile.Path],
    with_usage: Sequence[Path | zipfile.Path],
    key: str,
) -> Source:
    """Return the rows of tables as images; `with_usage` are those whose rows name their split."""
    entries = []
    for table in tables:
        wanted = ("emotion", "Usage") if table in with_usage else ("emotion",)
        part = _split_of_table(table) if len(tables) > 1 else None
        for row, (emotion, *usage) in enumerate(read_columns(table, wanted), start=1):
            origin = usage[0].strip() if usage else table.name if part else ""
            split = layout.split_of(origin) if usage else part
            if usage and split is None:
                raise ValueError(f"{name} has the unknown Usage {origin!r} in row {row}.")
            split, label = split or layout.UNDIVIDED, _read_label(emotion.strip())
            entries.append(Entry(split, label, f"{split}/{label}/{len(entries)}", origin))

    @cache
    def pixels() -> list[bytes]:
        return [
            _read_pixels(text, table)
            for table in tables
            for (text,) in read_columns(table, ("pixels",))
        ]

    def read(i: int) -> bytes:
        gray = np.frombuffer(pixels()[i], np.uint8)
        side = math.isqrt(len(gray))
        if side * side != len(gray) or not side:
            raise ValueError(f"{len(gray)} pixels make no square")
        png = io.BytesIO()
        Image.fromarray(gray.reshape(side, side)).save(png, "PNG")
        return png.getvalue()

    return Source(name, entries, read, key)


def _read_pixels(text: str, table: Path | zipfile.Path) -> bytes:
    """Return a row's pixels, b"" for a broken row: `read` names it when it is asked for."""
    try:
        return to_pixels(text, table)
    except ValueError:
        return b""


def _read_label(emotion: str) -> str:
    emotion = emotion.removesuffix(".0")  # as pandas writes a column with a gap
    if emotion.isdecimal() and int(emotion) < len(layout.FER_CSV_LABELS):
        return layout.FER_CSV_LABELS[int(emotion)]
    return layout.label_of(emotion)


def open_hub_dataset(repo_id: str, parts: datasets.DatasetDict) -> Source:
    """Return the images of a Hub dataset with `image` and `label` columns.

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
    if unknown := {split: len(part) for split, part in parts.items() if not layout.split_of(split)}:
        count = sum(unknown.values())
        listing.warn_left_out(repo_id, count, "rows of unknown splits", unknown)
    parts = {split: part for split, part in parts.items() if split not in unknown}
    places = [(split, row) for split, part in parts.items() for row in range(len(part))]
    names = {split: part.features["label"].names for split, part in parts.items()}
    labels = {split: part["label"][:] for split, part in parts.items()}
    for split, row in places:
        if labels[split][row] in (None, -1):  # how `datasets` marks a missing label
            raise ValueError(f"Row {row} of the split {split} of {repo_id} has no label.")
    entries = [
        Entry(
            layout.split_of(split),
            layout.label_of(names[split][labels[split][row]]),
            f"{split}/{row}",
            split,
        )
        for split, row in places
    ]

    def read(i: int) -> bytes:
        split, row = places[i]
        image = undecoded[split][row]["image"]
        if listing.is_gap(image):
            raise ValueError("a row without an image")
        # Datasets of image files hold their paths.
        return Path(image["path"]).read_bytes() if image["bytes"] is None else image["bytes"]

    return Source(repo_id, entries, read, listing.hash_parts(parts))
