"""FER+'s own files -> the CSV of votes that `votes.py` reads, a row for each image of the data.

The rows of FER+ (github.com/microsoft/FERPlus, MIT) follow those of Kaggle's `fer2013.csv`. A zip
of pictures has no such rows: its images are found by their pixels.
"""

from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
import pandas as pd

from emotion_detective.core.checkpoint import write_whole
from emotion_detective.evaluation.votes import COUNTED


def join_votes(parts: datasets.DatasetDict, fer2013: Path, ferplus: Path, output: Path) -> int:
    """Write the votes of all images in `parts` that have some; return their number.

    Args:
        parts: the splits that `data.load` returns.
        fer2013: `fer2013.csv` of Kaggle's challenge, with a column of pixels.
        ferplus: `fer2013new.csv` of FER+, with as many rows in the same order.
        output: the CSV to write.
    """
    pictures, votes = _read(fer2013, ["pixels"]), _read(ferplus, COUNTED)
    if len(pictures) != len(votes):
        raise ValueError(
            f"{fer2013} has {len(pictures)} rows and {ferplus} {len(votes)}: they do not go "
            "together. Take fer2013.csv and fer2013new.csv as they were published."
        )
    try:
        pixels = [np.array(text.split(), np.uint8).tobytes() for text in pictures["pixels"]]
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{fer2013} has pixels that are no numbers from 0 to 255.") from error
    votes.index = pixels
    votes = votes[(votes.astype(float) > 0).any(axis=1)]
    files = {
        file: image.convert("L").tobytes()
        for part in parts.values()
        for file, image in zip(part["file"], part["image"], strict=True)
    }
    rows = votes[~votes.index.duplicated()].reindex(list(files.values()))
    rows = rows.set_axis(pd.Index(files, name="path")).dropna()
    if rows.empty:
        raise ValueError(f"None of the images of --data is in {fer2013}.")
    write_whole(output, rows.to_csv)
    return len(rows)


def _read(path: Path, names: Sequence[str]) -> pd.DataFrame:
    """Return columns as text; some of Kaggle's files have spaces before their names."""
    try:
        table = pd.read_csv(path, dtype=str, skipinitialspace=True)[list(names)]
    except FileNotFoundError as error:
        raise ValueError(f"There is no file {path}.") from error
    except KeyError as error:
        raise ValueError(
            f"{path} lacks columns of {', '.join(names)}: it is another file."
        ) from error
    if cut := np.flatnonzero(table.isna().any(axis=1)).tolist():
        raise ValueError(f"{path} is cut short in row {cut[0] + 1}: fetch it again.")
    return table
