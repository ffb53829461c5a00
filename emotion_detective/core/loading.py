"""A checkpoint's name -> a `Classifier`: a folder of this machine, or one pulled from the Hub.

A checkpoint may be a stranger's: pickles are never read, `config.json` cannot name other weights
than the folder's own, and one picture is classified before the classifier is handed out. Knows no
faces and no Gradio.
"""

import json
from contextlib import suppress
from functools import partial
from pathlib import Path

import numpy as np
import timm
import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HFValidationError,
    LocalEntryNotFoundError,
)
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file
from timm.data import resolve_data_config

from emotion_detective import LABELS
from emotion_detective.core.checkpoint import (
    CONFIG_FILE,
    METRICS_FILE,
    UNSURE_BELOW,
    WEIGHTS_FILE,
    read_metrics,
)
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.hub import HUB_ERRORS, first_line
from emotion_detective.engines import claim_device

# The environment variable that names the checkpoint a page serves.
MODEL_VARIABLE = "EMOTION_MODEL"
# How long the Hub may be silent before it counts as out of reach.
HUB_TIMEOUT_S = 10
# What helps where a repository cannot be pulled.
GATED = (
    "It is gated: ask for access on its page on the Hub, then log in with `hf auth login`, or set "
    "HF_TOKEN."
)
CHECK_NAME = (
    "Check the name and the network; if it is private, log in with `hf auth login`, or set "
    "HF_TOKEN to your token."
)
# What loading and the first picture may raise where a file is not as timm wrote it.
UNUSABLE_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, SafetensorError, TypeError, ValueError),
)
# timm must load no other weights: where `model_args` names some too, it is a TypeError.
OWN_WEIGHTS = dict.fromkeys(("pretrained_cfg", "pretrained_cfg_overlay", "checkpoint_path"))
OWN_WEIGHTS["pretrained"] = False
# No face classifier reads more; a config that asks for 50,000 would fill the memory.
MAX_INPUT_PX = 1024


def load_classifier(
    source: Path | str, revision: str | None = None, device: torch.device | str | None = None
) -> Classifier:
    """Load a checkpoint from a folder or from the Hub (`user/name` or `user/name@revision`).

    The network computes in float32, whatever dtype its weights are stored in, on the device that
    `engines.claim_device` chooses.
    """
    device = claim_device(device)
    folder, commit = _fetch(str(source), revision)
    _check_files(folder, source)
    metrics = read_metrics(folder)
    try:
        config = _read_config(folder)
        classifier = Classifier(
            network=_load_network(folder, config),
            data_config=resolve_data_config(pretrained_cfg=config["pretrained_cfg"]),
            source=str(source).partition("@")[0] if commit else str(folder),
            revision=commit,
            unsure_below=float(config.get("unsure_below", UNSURE_BELOW)),
            metrics=metrics,
            device=device,
        )
        _try(classifier)
    except UNUSABLE_ERRORS as error:
        raise ValueError(
            f"The checkpoint {source} cannot be used: its weights are broken, or its {CONFIG_FILE} "
            f"is not what timm wrote for them ({first_line(error)}). Fetch it again, or name "
            "another model."
        ) from error
    return classifier


def _fetch(source: str, revision: str | None) -> tuple[Path, str | None]:
    """Return the checkpoint's local folder, and its commit if it came from the Hub."""
    if Path(source).is_dir():
        return Path(source).resolve(), None
    repo_id, _, at_revision = source.partition("@")
    revision = revision or at_revision or None
    wanted = f"{repo_id} at revision {revision}" if revision else repo_id
    try:
        folder = _pull(repo_id, revision)
    except HFValidationError as error:
        raise ValueError(
            f"No folder {source!r}, and it is no Hub repository id (user/name) either."
        ) from error
    except HUB_ERRORS as error:
        remedy = GATED if isinstance(error, GatedRepoError) else CHECK_NAME
        raise ValueError(
            f"There is no folder {source!r} here, and the model {wanted} could not be pulled from "
            f"the Hub ({first_line(error)}). {remedy}"
        ) from error
    return folder, folder.name  # the snapshot's folder is named for its commit


def _pull(repo_id: str, revision: str | None) -> Path:
    """Return the folder with what there is of the checkpoint's files, all of one commit.

    `snapshot_download` alone would wait without end for a Hub that is silent.
    """
    needed = [CONFIG_FILE, WEIGHTS_FILE]
    pull = partial(snapshot_download, repo_id, revision=revision)
    try:
        HfApi().model_info(repo_id, revision=revision, timeout=HUB_TIMEOUT_S)
    except HUB_ERRORS as error:
        with suppress(LocalEntryNotFoundError):  # pulled before, perhaps
            return Path(pull(allow_patterns=needed, local_files_only=True))
        raise error
    return Path(pull(allow_patterns=[*needed, METRICS_FILE]))


def _check_files(folder: Path, source: Path | str) -> None:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ValueError(
                f"The checkpoint {source} has no {name}. It needs {CONFIG_FILE} and "
                f"{WEIGHTS_FILE}, as `train_hub.py train` writes them; pickled weights are never "
                "loaded."
            )


def _read_config(folder: Path) -> dict:
    config = json.loads((folder / CONFIG_FILE).read_text())
    labels = tuple(config["label_names"])
    if labels != LABELS:
        raise ValueError(f"labels {', '.join(map(str, labels))}; needed {', '.join(LABELS)}")
    return config


def _load_network(folder: Path, config: dict) -> torch.nn.Module:
    architecture = config["architecture"]
    if not timm.is_model(architecture):  # but a Hub id, perhaps, which timm would fetch
        raise ValueError(f"timm has no architecture {architecture!r}")
    network = timm.create_model(
        architecture, **OWN_WEIGHTS, num_classes=len(LABELS), **config.get("model_args", {})
    )
    # Each is converted to float32 as it is copied: all at once would take the memory twice.
    network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    return network.eval().float()  # whatever dtype is the caller's default


def _try(classifier: Classifier) -> None:
    """Classify one picture, so that a checkpoint that cannot is refused before a visitor asks."""
    side = max(classifier.data_config["input_size"])
    if side > MAX_INPUT_PX:
        raise ValueError(f"its pictures have {side} pixels a side, the limit is {MAX_INPUT_PX}")
    if not np.isfinite(classifier.probabilities([Image.new("RGB", (8, 8), "gray")])).all():
        raise ValueError("its probabilities are no numbers")
