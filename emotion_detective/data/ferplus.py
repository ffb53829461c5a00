"""FER+'s own files -> the CSV of votes that `votes.py` reads, a row for each image of the data.

The rows of FER+ (github.com/microsoft/FERPlus, MIT) follow those of Kaggle's `fer2013.csv`. A zip
of pictures has no such rows: its images are found by their pixels.
"""

import csv
import itertools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

import datasets
import numpy as np

from emotion_detective.core.checkpoint import write_whole
from emotion_detective.evaluation.votes import COUNTED


def join_votes(parts: datasets.DatasetDict, fer2013: Path, ferplus: Path, output: Path) -> int:
    """Write the votes of all images in `parts` that have some; return their number.

    Args:
        parts: the splits that `data.load` returns.
        fer2013: `fer2013.csv` of Kaggle's challenge, with a column of pixels.
        ferplus: `fer2013new.csv` of FER+, with as many rows in the same order.
        output: the CSV to write.

    Raises:
        ValueError: a file or column is missing, the files differ in length, or none of the images
            stands in them.
    """
    pictures = [to_pixels(text, fer2013) for (text,) in read_columns(fer2013, ("pixels",))]
    votes = list(read_columns(ferplus, COUNTED))
    if len(pictures) != len(votes):
        raise ValueError(
            f"{fer2013} has {len(pictures)} rows and {ferplus} {len(votes)}: they do not go "
            "together. Take fer2013.csv and fer2013new.csv as they were published."
        )
    known = {
        picture: counts
        for picture, counts in zip(pictures, votes, strict=True)
        if any(count not in ("", "0") for count in counts)
    }
    rows = [
        (file, *known[picture])
        for part in parts.values()
        for file, image in zip(part["file"], part["image"], strict=True)
        if (picture := image.convert("L").tobytes()) in known
    ]
    if not rows:
        raise ValueError(f"None of the images of --data stands in {fer2013}.")

    def write(fresh: Path) -> None:
        with fresh.open("w", newline="", encoding="utf-8") as stream:
            csv.writer(stream).writerows([("path", *COUNTED), *rows])

    write_whole(output, write)
    return len(rows)


def read_columns(path: Path | zipfile.Path, names: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield the named columns of every row.

    Raises:
        ValueError: there is no such file or column, or a row is cut short.
    """
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    with path.open(newline="", encoding="utf-8-sig") as stream:
        try:
            header, rows = _read_header(stream)
            if missing := [name for name in names if name.lower() not in header]:
                raise ValueError(f"{path} has no column {', '.join(missing)}: it is another file.")
            places = [header.index(name.lower()) for name in names]
            for row in filter(None, rows):
                if len(row) < len(header):
                    line = rows.line_num
                    raise ValueError(f"{path} is cut short in line {line}: fetch it again.")
                yield tuple(row[place] for place in places)
        except (csv.Error, UnicodeDecodeError) as error:
            raise _no_csv(path) from error


def read_header(path: Path | zipfile.Path) -> list[str]:
    """Return the names of a CSV's columns in lower case.

    Raises:
        ValueError: the file is no text.
    """
    with path.open(newline="", encoding="utf-8-sig") as stream:
        try:
            return _read_header(stream)[0]
        except (csv.Error, UnicodeDecodeError) as error:
            raise _no_csv(path) from error


def _read_header(stream: TextIO) -> tuple[list[str], Any]:
    """Return the names of a CSV's columns, and the `csv.reader` of its other rows."""
    first = stream.readline()
    delimiter = max(",;\t", key=first.count)  # spreadsheets write others than commas
    rows = csv.reader(itertools.chain([first], stream), delimiter=delimiter)
    # One of Kaggle's files has spaces before its names.
    return [name.strip().lower() for name in next(rows, [])], rows


def _no_csv(path: Path | zipfile.Path) -> ValueError:
    return ValueError(f"{path} is no CSV of text and numbers: fetch it again.")


def to_pixels(text: str, path: Path | zipfile.Path) -> bytes:
    """Return the pixels of a row, one byte each.

    Raises:
        ValueError: a pixel is no number from 0 to 255.
    """
    try:
        return np.array(text.split(), np.uint8).tobytes()
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{path} has pixels that are no numbers from 0 to 255.") from error
