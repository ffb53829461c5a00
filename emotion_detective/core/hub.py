"""Names on the Hugging Face Hub, and what a request to it raises."""

import re

from huggingface_hub.errors import HTTPError

# A reason stands in the middle of a sentence.
MAX_REASON_CHARACTERS = 200
# What a request to the Hub raises: its refusals are OSErrors, a broken connection is the HTTPError
# of httpx (huggingface_hub 1) or httpx2 (2).
HUB_ERRORS = (OSError, HTTPError)


def first_line(error: BaseException) -> str:
    """Return the start of an error's message for use in a sentence; its type's name if empty."""
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:MAX_REASON_CHARACTERS]


def is_hub_id(name: str) -> bool:
    """True for what can be a repository's id on the Hub: user/name."""
    return re.fullmatch(r"[\w-][\w.-]*/[\w-][\w.-]*", name) is not None


def check_hub_id(name: str) -> None:
    """Raise ValueError where a name can be no repository's id."""
    if not is_hub_id(name):
        raise ValueError(f"{name!r} is no repository id: it must be USER/NAME.")
