"""A CSV with a row an image, as Kaggle's fer2013.csv is -> its images as files in class folders.

Its columns are emotion, pixels (gray values of a square) and, where it holds several splits, Usage.
"""

import io
import math
from pathlib import PurePosixPath
from typing import BinaryIO

import numpy as np
import pandas as pd
from PIL import Image

from emotion_detective.data import layout
from emotion_detective.data.listing import Files, warn_left_out

COLUMNS = ("emotion", "pixels", "usage")
# Kaggle's emotion numbers in fer2013.csv.
EMOTIONS = ("angry", "disgusted", "fearful", "happy", "sad", "surprised", "neutral")


def list_rows(files: Files, candidates: list[int]) -> Files | None:
    """Return the rows of tables among `files`, by the paths split/class/row; None without any.

    One table with a column Usage is read, else those named for a split, as train.csv and test.csv.
    """
    tables = [i for i in candidates if b"pixels" in files.head(i).lower()]
    columns = {i: set(_read(files, i, nrows=0)) for i in tables}
    faces = [i for i in tables if columns[i] >= {"emotion", "pixels"}]
    if not faces:
        return None
    splits = {i: PurePosixPath(files.paths[i]).stem for i in faces}
    of_a_split = [i for i in faces if layout.split_of(splits[i])]
    others = [i for i in faces if i not in of_a_split]
    chosen = [i for i in others if "usage" in columns[i]][:1] or of_a_split or others[:1]
    if left_out := [path for i, path in enumerate(files.paths) if i not in chosen]:
        warn_left_out(files.source, len(left_out), "other files", left_out)
    paths, pixels = [], []
    for i in chosen:
        table = _read(files, i)
        if len(gaps := np.flatnonzero((table == "").any(axis=1))):
            name = files.paths[i]
            raise ValueError(f"{name} is cut short in row {gaps[0] + 1}: fetch it again.")
        if "usage" not in table:
            table["usage"] = splits[i] if i in of_a_split else ""
        for split, emotion in zip(table["usage"], table["emotion"], strict=True):
            paths.append(f"{split}/{_class_name(emotion)}/{len(paths)}".lstrip("/"))
        pixels += table["pixels"].tolist()
    return Files(files.source, files.key, paths, pixels, _open_row)


def _class_name(emotion: str) -> str:
    number = emotion.removesuffix(".0")  # as pandas writes a column with a gap
    return EMOTIONS[int(number)] if number in map(str, range(len(EMOTIONS))) else emotion


def _open_row(pixels: str) -> BinaryIO:
    """Return a row as a PNG."""
    gray = np.array(pixels.split(), np.uint8)
    side = math.isqrt(len(gray))
    png = io.BytesIO()
    Image.fromarray(gray.reshape(side, side)).save(png, "PNG")
    png.seek(0)
    return png


def _read(files: Files, i: int, nrows: int | None = None) -> pd.DataFrame:
    """Return the COLUMNS of a table as text, their names in lower case; "" is a gap."""
    header, _, _ = files.head(i).partition(b"\n")
    try:
        with files.open(i) as file:
            table = pd.read_csv(
                file,
                # With sep=None pandas takes its slower engine: 6.4 s, not 3.5, for fer2013.csv.
                sep=max(",;\t", key=lambda mark: header.count(mark.encode())),
                encoding="utf-8-sig",
                skipinitialspace=True,
                dtype=str,
                na_filter=False,
                nrows=nrows,
                usecols=lambda name: name.strip().lower() in COLUMNS,
            )
    except ValueError as error:  # of pandas, and bytes that are no text
        sentence = f"{files.paths[i]} is no CSV of text and numbers: fetch it again."
        raise ValueError(sentence) from error
    return table.rename(columns=lambda name: name.strip().lower())
