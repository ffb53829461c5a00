"""The README.md of a checkpoint from its metrics, and the checkpoint's upload in one commit.

`train_hub.py` calls `write_card` when a checkpoint is measured, and `push`. The text
is the template `model_card.md`; `card_text.py` fills its slots and `card_metadata.py` its front
matter. Knows no training.
"""

import json
import logging
import re
import shutil
import tempfile
from pathlib import Path
from string import Template

import torch
from huggingface_hub import HfApi, ModelInfo
from huggingface_hub.errors import RemoteEntryNotFoundError

from emotion_detective.core.checkpoint import (
    CONFIG_FILE,
    METRICS_FILE,
    PLOTS_FOLDER,
    WEIGHTS_FILE,
    convert_weights,
    read_metrics,
)
from emotion_detective.core.hub import check_hub_id
from emotion_detective.publish.card_metadata import Facts
from emotion_detective.publish.card_text import PLOTS, SLOTS
from emotion_detective.publish.refusals import explain_refusals, refuse_public

logger = logging.getLogger(__name__)

TEMPLATE = Path(__file__).resolve().parents[2] / "model_card.md"
CARD_FILE = "README.md"


def write_card(folder: Path | str, repo_id: str | None = None) -> Path:
    """Write README.md from the folder's metrics.json and return its path.

    The snippets load `repo_id`, by default USER/ and the folder's name.

    Raises:
        ValueError: a slot cannot be filled; the message names it and what is missing.
    """
    folder = Path(folder).resolve()
    facts = read_facts(folder, repo_id or f"USER/{folder.name}")
    text = render(facts, TEMPLATE.read_text(encoding="utf-8"))
    (folder / CARD_FILE).write_text(text, encoding="utf-8")
    return folder / CARD_FILE


def read_facts(folder: Path, repo_id: str) -> Facts:
    """Return the facts for the card of the checkpoint in `folder`."""
    config = json.loads((folder / CONFIG_FILE).read_text())
    return Facts(repo_id, config, read_metrics(folder), tuple(_find_plots(folder)))


def _find_plots(folder: Path) -> list[str]:
    names = [f"{PLOTS_FOLDER}/{name}.png" for name in PLOTS]
    return [name for name in names if (folder / name).is_file()]


def render(facts: Facts, template: str) -> str:
    """Return the template with each `${slot}` filled from the facts.

    Raises:
        ValueError: a slot is unknown, or its value was not measured; the message names it.
    """
    template = Template(template)
    return template.substitute({slot: _fill(slot, facts) for slot in template.get_identifiers()})


def _fill(slot: str, facts: Facts) -> str:
    if slot not in SLOTS:
        raise ValueError(f"model_card.md has the unknown slot {slot!r}; known: {', '.join(SLOTS)}.")
    try:
        return SLOTS[slot](facts)
    except KeyError as error:
        raise ValueError(
            f"The model card's slot {slot!r} cannot be filled: {METRICS_FILE} lacks {error}. "
            "Evaluate the checkpoint again with train_hub.py."
        ) from error


def push(
    folder: Path | str,
    repo_id: str,
    private: bool = False,
    force: bool = False,
) -> str:
    """Publish a checkpoint folder as the Hub model `repo_id` and return its address.

    Float32 weights, config.json, metrics.json, card and plots go up in one commit, which is then
    tagged v1, v2 and so on. Where nothing changed there is no commit. A model on the Hub that is
    more accurate on the same validation images stays, unless `force`.

    Raises:
        ValueError: the folder is no checkpoint, a better or a public model is there, or token,
            permission or Hub is missing; the message says what to do.
    """
    folder = Path(folder)
    check_hub_id(repo_id)
    for name in (CONFIG_FILE, WEIGHTS_FILE, METRICS_FILE):
        if not (folder / name).is_file():
            raise ValueError(f"{folder} has no {name}: it is no checkpoint that can be pushed.")
    with tempfile.TemporaryDirectory() as staging:
        _stage(folder, Path(staging), repo_id)
        with explain_refusals(repo_id):
            return _upload(HfApi(), Path(staging), repo_id, private, force)


def _stage(folder: Path, staging: Path, repo_id: str) -> None:
    """Copy what goes to the Hub into `staging`."""
    for name in (CONFIG_FILE, METRICS_FILE):
        shutil.copy(folder / name, staging)
    (staging / PLOTS_FOLDER).mkdir()
    for plot in _find_plots(folder):
        shutil.copy(folder / plot, staging / PLOTS_FOLDER)
    # transformers computes in the file's number format: in float16 three times slower on a CPU.
    convert_weights(folder, staging / WEIGHTS_FILE, torch.float32)
    write_card(staging, repo_id)


def _upload(api: HfApi, staging: Path, repo_id: str, private: bool, force: bool) -> str:
    api.whoami()  # the clearest refusal of a missing or wrong token
    url = api.create_repo(repo_id, private=private or None, exist_ok=True)
    there = api.model_info(repo_id)
    if private:
        refuse_public(repo_id, there)
    if not force:
        _refuse_worse(read_metrics(staging), _fetch_metrics(api, there), repo_id)
    logger.info("uploading to %s", url)
    commit = api.upload_folder(
        repo_id=repo_id,
        folder_path=staging,
        delete_patterns=f"{PLOTS_FOLDER}/*",  # plots that are gone
        commit_message="Publish the checkpoint with its metrics and card",
        parent_commit=there.sha,
    )
    _tag(api, repo_id, commit.oid)
    return str(url)


def _fetch_metrics(api: HfApi, there: ModelInfo) -> dict:
    try:
        path = api.hf_hub_download(there.id, METRICS_FILE, revision=there.sha)
    except RemoteEntryNotFoundError:
        return {}
    return read_metrics(Path(path).parent)


def _refuse_worse(ours: dict, theirs: dict, repo_id: str) -> None:
    mine, other = ours.get("validation"), theirs.get("validation")
    if not mine or not other or mine["n"] != other["n"]:  # not measured on the same images
        return
    if mine["accuracy"] < other["accuracy"]:
        raise ValueError(
            f"{repo_id} already holds a better model: {other['accuracy']:.4f} of validation right, "
            f"this one {mine['accuracy']:.4f}. Push to another name, or overwrite it with --force."
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
