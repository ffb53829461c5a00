"""The Hub's refusals of an upload, each as one sentence with the remedy.

Uploads are `card.push`, `dataset_card.publish` and `space.deploy`. Knows no checkpoint.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import DatasetInfo, ModelInfo, SpaceInfo
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
)

from emotion_detective.core.hub import first_line

# What an upload raises. hf_xet, which carries large files, raises plain RuntimeErrors.
REFUSALS = (
    HTTPError,
    ConnectionError,
    LocalTokenNotFoundError,
    LocalEntryNotFoundError,
    RuntimeError,
)


def refuse_public(repo_id: str, there: ModelInfo | DatasetInfo | SpaceInfo) -> None:
    """Raise `ValueError` where a repository that should be private is public.

    The Hub's `create_repo(private=True)` leaves an existing repository public and says nothing.
    """
    if not there.private:
        raise ValueError(f"{repo_id} is public already: make it private in its settings first.")


@contextmanager
def explain_refusals(repo_id: str) -> Iterator[None]:
    """Turn REFUSALS of an upload to `repo_id` into a `ValueError` that says what to do."""
    try:
        yield
    except REFUSALS as error:
        raise ValueError(
            f"{repo_id} was not pushed: {_find_remedy(error)} Each commit there is whole, and the "
            "same command can be repeated."
        ) from error


def _find_remedy(error: Exception) -> str:
    """Return what went wrong and what to do, as a sentence."""
    status = error.response.status_code if isinstance(error, HfHubHTTPError) else None
    reason = first_line(error)
    if isinstance(error, LocalTokenNotFoundError):
        return "there is no token on this machine. Run `hf auth login` with one that may write."
    if status == 401:
        return "the Hub does not know this token. Run `hf auth login` with one that may write."
    if status == 403:
        return f"this token may not write there ({reason}). Run `hf auth login` with one that may."
    if status == 412:
        return "somebody else pushed to it at the same time."
    if status is not None:
        return f"the Hub answered {status} ({reason})."
    return f"the Hub cannot be reached ({reason}). Check the network."
