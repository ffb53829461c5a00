"""A checkpoint's upload to the Hub in one commit, and what the Hub's refusals mean."""

import logging
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from huggingface_hub import HfApi, ModelInfo
from huggingface_hub.errors import (
    HfHubHTTPError,
    HTTPError,
    LocalEntryNotFoundError,
    LocalTokenNotFoundError,
    RemoteEntryNotFoundError,
)

from emotion_detective.core.checkpoint import (
    CONFIG_FILE,
    METRICS_FILE,
    PLOTS_FOLDER,
    WEIGHTS_FILE,
    convert_weights,
    read_metrics,
)
from emotion_detective.core.hub import check_hub_id, first_line
from emotion_detective.publish.card import find_plots, write_card
from emotion_detective.publish.onnx_folder import write_onnx

logger = logging.getLogger(__name__)

ONNX_FOLDER = "javascript"
# What an upload raises. hf_xet, which carries large files, raises plain RuntimeErrors.
REFUSALS = (HTTPError, ConnectionError, LocalTokenNotFoundError, LocalEntryNotFoundError)
REFUSALS += (RuntimeError,)


def push(
    folder: Path,
    repo_id: str,
    private: bool = False,
    force: bool = False,
    onnx: bool = False,
) -> str:
    """Publish a checkpoint folder as the Hub model `repo_id` and return its address.

    Everything goes up in one commit, which is then tagged v1, v2 and so on. Where nothing changed
    there is no commit. A model on the Hub that is more accurate on the same validation images
    stays, unless `force`. `onnx` adds the files of `write_onnx`.
    """
    check_hub_id(repo_id)
    for name in (CONFIG_FILE, WEIGHTS_FILE, METRICS_FILE):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}: it is no checkpoint that can be pushed.")
    with tempfile.TemporaryDirectory() as staging:
        _stage(folder, Path(staging), repo_id)
        if onnx:
            write_onnx(folder, Path(staging) / ONNX_FOLDER)
        with explain_refusals(repo_id):
            return _upload(HfApi(), Path(staging), repo_id, private, force)


def _stage(folder: Path, staging: Path, repo_id: str) -> None:
    """Copy what goes to the Hub into `staging`."""
    (staging / PLOTS_FOLDER).mkdir()
    for name in (CONFIG_FILE, METRICS_FILE, *find_plots(folder)):
        shutil.copy(folder / name, staging / name)
    # transformers computes in the file's dtype: in float16 three times slower on a CPU.
    convert_weights(folder, staging / WEIGHTS_FILE, torch.float32)
    write_card(staging, repo_id)


def make_repo(api: HfApi, repo_id: str, private: bool, **kind) -> str:
    """Make a repository unless it exists, and return its address.

    The Hub's `create_repo(private=True)` leaves an existing repository public and says nothing.
    """
    api.whoami()  # the clearest refusal of a missing or wrong token
    url = api.create_repo(repo_id, private=private or None, exist_ok=True, **kind)
    if private and not api.repo_info(repo_id, repo_type=url.repo_type).private:
        raise ValueError(f"{repo_id} is public already: make it private in its settings first.")
    logger.info("uploading to %s", url)
    return str(url)


def _upload(api: HfApi, staging: Path, repo_id: str, private: bool, force: bool) -> str:
    url = make_repo(api, repo_id, private)
    there = api.model_info(repo_id)
    if not force:
        _refuse_worse(api, read_metrics(staging), there)
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=staging,
        delete_patterns=[f"{PLOTS_FOLDER}/*", f"{ONNX_FOLDER}/*"],  # those of older weights
        commit_message="Publish the checkpoint with its metrics and card",
        parent_commit=there.sha,
    )
    _tag(api, repo_id, commit.oid)
    return url


def _refuse_worse(api: HfApi, metrics: dict, there: ModelInfo) -> None:
    try:
        path = api.hf_hub_download(there.id, METRICS_FILE, revision=there.sha)
    except RemoteEntryNotFoundError:
        return
    mine, other = metrics.get("validation"), read_metrics(Path(path).parent).get("validation")
    if not mine or not other or mine["n"] != other["n"]:  # not measured on the same images
        return
    if mine["accuracy"] < other["accuracy"]:
        raise ValueError(
            f"{there.id} already holds a better model: {other['accuracy']:.4f} of validation "
            f"right, this one {mine['accuracy']:.4f}. Push to another name, or overwrite it with "
            "--force."
        )


def _tag(api: HfApi, repo_id: str, commit: str) -> None:
    """Tag the commit with the next version, unless an earlier push tagged it."""
    tags = api.list_repo_refs(repo_id).tags
    if any(tag.target_commit == commit for tag in tags):
        return
    versions = [int(tag.name[1:]) for tag in tags if re.fullmatch(r"v\d+", tag.name)]
    version = f"v{max(versions, default=0) + 1}"
    api.create_tag(repo_id, tag=version, revision=commit)
    logger.info("tagged %s@%s", repo_id, version)


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
