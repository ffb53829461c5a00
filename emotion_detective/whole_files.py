"""Files that are whole or not there, whenever the process that writes them is killed."""

import os
from collections.abc import Callable
from pathlib import Path


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a file beside `path`, which takes its name once it is finished."""
    fresh = path.with_name(f"{path.name}.unfinished")
    write(fresh)
    os.replace(fresh, path)
