"""FER+'s own files -> the CSV of votes that `votes.py` reads, a row for each image of the data.

The rows of FER+ (github.com/microsoft/FERPlus, MIT) follow those of Kaggle's `fer2013.csv`. A zip
of pictures has no such rows: its images are found by their pixels.
"""

from pathlib import Path

import datasets
import numpy as np
import pandas as pd

from emotion_detective.core.checkpoint import write_whole
from emotion_detective.evaluation.votes import COUNTED, read_columns


def join_votes(parts: datasets.DatasetDict, fer2013: Path, ferplus: Path, output: Path) -> int:
    """Write the votes of all images in `parts` that have some to a CSV; return their number.

    `fer2013` is `fer2013.csv` of Kaggle's challenge, `ferplus` `fer2013new.csv` of FER+, with as
    many rows in the same order.
    """
    pictures, votes = read_columns(fer2013, ["pixels"]), read_columns(ferplus, COUNTED)
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
