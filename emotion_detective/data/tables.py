"""A CSV with a row an image, as Kaggle's fer2013.csv is -> its images as files in class folders.

Its columns are emotion, pixels (gray values of a square) and, where it holds several splits, Usage.
"""

import io
import math
from collections.abc import Set
from functools import partial
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image

from emotion_detective.data import layout
from emotion_detective.data.listing import Files, warn_left_out

# Kaggle's emotion numbers in fer2013.csv.
EMOTIONS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")


def list_rows(files: Files, tables: list[int]) -> Files | None:
    """Return the rows of the tables among `files`, by the paths split/class/row; None without any.

    One table with a column Usage is read, else those named for a split, as train.csv and test.csv.
    """
    columns = {i: set(_read(files, i, {"emotion", "pixels", "usage"}, nrows=0)) for i in tables}
    faces = [i for i in tables if columns[i] >= {"emotion", "pixels"}]
    if not faces:
        return None
    names = {i: PurePosixPath(files.paths[i]).stem for i in faces}
    of_a_split = [i for i in faces if layout.split_of(names[i])]
    others = [i for i in faces if i not in of_a_split]
    chosen = [i for i in others if "usage" in columns[i]][:1] or of_a_split or others[:1]
    if left_out := [path for i, path in enumerate(files.paths) if i not in chosen]:
        warn_left_out(files.source, len(left_out), "other files", left_out)
    paths = []
    for i in chosen:
        table = _read(files, i, {"emotion", "usage"})
        if len(gaps := np.flatnonzero((table == "").any(axis=1))):
            name = files.paths[i]
            raise ValueError(f"{name} is cut short in row {gaps[0] + 1}: fetch it again.")
        if "usage" not in table:
            table["usage"] = names[i] if i in of_a_split else ""
        rows = enumerate(zip(table["usage"], table["emotion"], strict=True), start=len(paths))
        paths += [f"{usage}/{_class_name(label)}/{n}".lstrip("/") for n, (usage, label) in rows]
    open_row = partial(_open_row, files, chosen, [])
    return Files(files.source, files.key, paths, range(len(paths)), open_row)


def _class_name(emotion: str) -> str:
    number = emotion.removesuffix(".0")  # as pandas writes a column with a gap
    return EMOTIONS[int(number)] if number in map(str, range(len(EMOTIONS))) else emotion


def _open_row(files: Files, tables: list[int], pixels: list[str], row: int) -> BinaryIO:
    """Return a row as a PNG; `pixels` is filled for the first one."""
    if not pixels:
        pixels += [text for i in tables for text in _read(files, i, {"pixels"})["pixels"]]
    gray = np.array(pixels[row].split(), np.uint8)
    side = math.isqrt(len(gray))
    png = io.BytesIO()
    Image.fromarray(gray.reshape(side, side)).save(png, "PNG")
    png.seek(0)
    return png


def _read(files: Files, i: int, wanted: Set[str], nrows: int | None = None) -> pd.DataFrame:
    """Return the wanted columns of a table as text, their names in lower case; "" is a gap."""
    with files.open(i) as file:
        head = file.readline(4096)
    try:
        with files.open(i) as file:
            table = pd.read_csv(
                file,
                # With sep=None pandas takes its slower engine: 6.4 s, not 3.5, for fer2013.csv.
                sep=max(",;\t", key=lambda mark: head.count(mark.encode())),
                encoding="utf-8-sig",
                skipinitialspace=True,
                dtype=str,
                na_filter=False,
                nrows=nrows,
                usecols=lambda name: name.strip().lower() in wanted,
            )
    except ValueError as error:  # of pandas, and bytes that are no text
        sentence = f"{files.paths[i]} is no CSV of text and numbers: fetch it again."
        raise ValueError(sentence) from error
    return table.rename(columns=lambda name: name.strip().lower())
