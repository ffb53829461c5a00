"""Names on the Hugging Face Hub, what a request to it raises, and datasets that lie there."""

import re
from pathlib import Path
from typing import TYPE_CHECKING

from huggingface_hub.errors import (
    HTTPError,
)

if TYPE_CHECKING:
    import datasets

# A source with such a name is a file, or one that is missing.
FILE_SUFFIXES = (".zip", ".csv")
# A reason stands in the middle of a sentence.
MAX_REASON_LETTERS = 200
# What a request to the Hub raises: its refusals are OSErrors, a broken connection is the HTTPError
# of httpx (huggingface_hub 1) or httpx2 (2).
HUB_ERRORS = (OSError, HTTPError)


def first_line(error: BaseException) -> str:
    """Return the start of an error's message for use in a sentence; its type's name if empty."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:MAX_REASON_LETTERS]


def is_hub_id(name: str) -> bool:
    """True for what can be a repository's id on the Hub: user/name."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def is_on_hub(source: str | Path) -> bool:
    """True for what can be a Hub dataset's id and is nothing here.

    Where the first half of "data/fer" is a folder of this machine, it is a path that is missing.
    """
    source = str(source)
    is_file = source.lower().endswith(FILE_SUFFIXES)
    return is_hub_id(source) and not is_file and not Path(source.partition("/")[0]).is_dir()


def check_hub_id(name: str) -> None:
    """Raise ValueError where a name can be no repository's id."""
    if not is_hub_id(name):
        raise ValueError(f"{name!r} is no repository id: it must be USER/NAME.")


def display_name(source: str) -> str:
    """Return a Hub id as it is, and of a file or folder the name without this machine's path."""
    return Path(source).name if Path(source).exists() else source


def load_hub_dataset(repo_id: str) -> "datasets.DatasetDict":
    """Return a Hub dataset as it is there.

    Raises:
        ValueError: it cannot be loaded; says what to check.
    """
    import datasets  # no page needs it

    try:
        parts = datasets.load_dataset(repo_id)
    except (datasets.exceptions.DatasetsError, OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"There is no folder {repo_id!r} here, and no dataset {repo_id} could be loaded from "
            f"the Hub ({first_line(error)}). Check the path, or the id, your token if it is "
            "private, and the network."
        ) from error
    return parts
