"""A zip, a folder, a CSV or a Hub dataset -> the pictures in it, or one sentence why not."""

import zipfile
from collections import Counter
from dataclasses import replace
from pathlib import Path

import datasets

from emotion_detective.core.hub import first_line, is_hub_id
from emotion_detective.data import tables
from emotion_detective.data.listing import (
    Files,
    list_dataset,
    list_files,
    list_folder,
    list_zip,
    warn_left_out,
)
from emotion_detective.files import formats

# Where the Hub keeps a dataset's rows.
PARQUET = ("*.parquet", "data/*.parquet")


def is_on_hub(source: str | Path) -> bool:
    """True for what can be a Hub dataset's id and is no path, not even one that is missing."""
    source = str(source)
    is_file = source.lower().endswith((".zip", ".csv"))
    return is_hub_id(source) and not is_file and not Path(source.partition("/")[0]).is_dir()


def display_name(source: str) -> str:
    """Return a Hub id as it is, and of a file or folder the name without this machine's path."""
    return Path(source).name if Path(source).exists() else source


def open_dataset(source: str | Path) -> datasets.DatasetDict | None:
    """Return a dataset of the Hub or of a folder of parquet files as on the Hub; None of others."""
    is_here = any(any(Path(source).glob(name)) for name in PARQUET)
    if not is_here and not is_on_hub(source):
        return None
    try:
        return datasets.load_dataset(str(source))
    except (datasets.exceptions.DatasetsError, OSError, RuntimeError, ValueError) as error:
        place = "here" if is_here else f"from the Hub, and there is no folder '{source}' here"
        raise ValueError(
            f"No dataset {source} could be loaded {place} ({first_line(error)}). Check the path, "
            "or the id, your token if it is private, and the network."
        ) from error


def find_pictures(
    source: str | Path, published: datasets.DatasetDict | None = None, by_class: bool = True
) -> Files:
    """Return the pictures of a zip, a folder or a `published` dataset, or the rows of a CSV."""
    if published is not None:
        return list_dataset(str(source), published, by_class)
    path = Path(source)
    if path.is_dir():
        return _keep_pictures(list_folder(path))
    if zipfile.is_zipfile(path):
        return _keep_pictures(list_zip(path))
    if path.is_file():
        return _open_table(path)
    raise ValueError(
        f"There is no data at {str(source)!r}: --data takes a zip such as Kaggle's "
        "ananthu017/emotion-detection-fer, a folder, fer2013.csv, or the id of a Hub dataset."
    )


def _keep_pictures(files: Files) -> Files:
    """Return the rows of a CSV among files, or else the pictures; log what is left out."""
    csvs = [i for i, path in enumerate(files.paths) if path.lower().endswith(".csv")]
    if rows := tables.list_rows(files, csvs):
        return rows
    pictures = [i for i in range(len(files.paths)) if _is_picture(files, i)]
    paths = [files.paths[i] for i in pictures]
    if others := Counter(files.paths) - Counter(paths):
        warn_left_out(files.source, others.total(), formats.NO_PICTURES, others)
    return replace(files, paths=paths, places=[files.places[i] for i in pictures])


def _is_picture(files: Files, i: int) -> bool:
    """True for a picture by its name, or else by its first bytes."""
    name = files.paths[i]  # to read 35,000 entries of a zip takes long
    return formats.is_picture(name, b"") or formats.is_picture(name, files.head(i))


def _open_table(path: Path) -> Files:
    files = list_files(str(path), [path], path.parent)
    if rows := tables.list_rows(files, [0]):
        return rows
    name = formats.unread_format(files.head(0))
    if name in formats.ARCHIVES.values() and name != formats.ZIP:  # a zip is a broken one here
        raise ValueError(f"{path} is {name}: unpack it and name its folder.")
    raise ValueError(
        f"{path} is not a zip file, or a broken one, and no CSV with the columns emotion and "
        "pixels such as fer2013.csv: fetch it again."
    )
