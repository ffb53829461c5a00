"""A checkpoint's name -> a `Classifier`: a folder of this machine, or one pulled from the Hub.

A checkpoint may be a stranger's: pickles are never read, `config.json` cannot name other weights
than the folder's own, and one picture is classified before the classifier is handed out. Knows no
faces and no Gradio.
"""

import json
from contextlib import suppress
from operator import itemgetter
from pathlib import Path

import numpy as np
import timm
import torch
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
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
from emotion_detective.core.hub import HUB_ERRORS, first_line, remedy
from emotion_detective.engines import claim_device

# The environment variable that names the checkpoint a page serves.
MODEL_VARIABLE = "EMOTION_MODEL"
# How long the Hub may be silent before it counts as out of reach.
HUB_TIMEOUT_S = 10
# What loading and the first picture may raise where config.json is not one that timm wrote.
UNUSABLE_CONFIG_ERRORS = (
    *(ArithmeticError, AssertionError, AttributeError, LookupError),
    *(RuntimeError, TypeError, ValueError),
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
    config = _read_config(folder, source)
    network = _load_network(folder, config, source)
    metrics = read_metrics(folder)
    try:
        classifier = Classifier(
            network=network.eval().float(),  # whatever dtype is the caller's default
            data_config=resolve_data_config(pretrained_cfg=config["pretrained_cfg"]),
            source=str(source).partition("@")[0] if commit else str(folder),
            revision=commit,
            unsure_below=float(config.get("unsure_below", UNSURE_BELOW)),
            metrics=metrics,
            device=device,
        )
        _try(classifier)
    except UNUSABLE_CONFIG_ERRORS as error:
        raise ValueError(
            f"The checkpoint {source} gives no prediction with what its {CONFIG_FILE} says "
            f"({first_line(error)}). Fetch it again, or name another model."
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
        raise ValueError(
            f"There is no folder {source!r} here, and the model {wanted} could not be pulled from "
            f"the Hub ({first_line(error)}). {remedy(error)}"
        ) from error
    return folder, folder.name  # the snapshot's folder is named for its commit


def _pull(repo_id: str, revision: str | None) -> Path:
    """Return the folder with what there is of the checkpoint's files, all of one commit.

    `snapshot_download` alone would wait without end for a Hub that is silent.
    """
    try:
        HfApi().model_info(repo_id, revision=revision, timeout=HUB_TIMEOUT_S)
    except HUB_ERRORS as error:
        at_hand = dict(local_files_only=True, allow_patterns=[CONFIG_FILE, WEIGHTS_FILE])
        with suppress(LocalEntryNotFoundError):  # pulled before, perhaps
            return Path(snapshot_download(repo_id, revision=revision, **at_hand))
        raise error
    folder = Path(hf_hub_download(repo_id, CONFIG_FILE, revision=revision)).parent
    for name in (WEIGHTS_FILE, METRICS_FILE):
        with suppress(RemoteEntryNotFoundError):  # `_read_config` says what is missing
            hf_hub_download(repo_id, name, revision=folder.name)
    return folder


def _read_config(folder: Path, source: Path | str) -> dict:
    for name in (CONFIG_FILE, WEIGHTS_FILE):
        if not (folder / name).is_file():
            raise ValueError(
                f"The checkpoint {source} has no {name}. It needs {CONFIG_FILE} and "
                f"{WEIGHTS_FILE}, as `train_hub.py train` writes them; pickled weights are never "
                "loaded."
            )
    try:
        config = json.loads((folder / CONFIG_FILE).read_text())
        labels, _, _ = itemgetter("label_names", "pretrained_cfg", "architecture")(config)
        labels = tuple(labels)
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{CONFIG_FILE} of the checkpoint {source} is not one that timm writes "
            f"({first_line(error)})."
        ) from error
    if labels != LABELS:
        raise ValueError(
            f"The checkpoint {source} has the labels {', '.join(map(str, labels))}; this program "
            f"needs {', '.join(LABELS)}, in this order."
        )
    return config


def _load_network(folder: Path, config: dict, source: Path | str) -> torch.nn.Module:
    architecture = str(config["architecture"])
    try:
        if not timm.is_model(architecture):  # but a Hub id, perhaps, which timm would fetch
            raise RuntimeError(f"timm has no architecture {architecture!r}")
        network = timm.create_model(
            architecture, **OWN_WEIGHTS, num_classes=len(LABELS), **config.get("model_args", {})
        )
        # Each is converted to float32 as it is copied: all at once would take the memory twice.
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (SafetensorError, *UNUSABLE_CONFIG_ERRORS) as error:
        raise ValueError(
            f"The weights of the checkpoint {source} are broken or do not fit its {CONFIG_FILE} "
            f"({first_line(error)}). Fetch it again, or name another model."
        ) from error
    return network


def _try(classifier: Classifier) -> None:
    """Classify one picture, so that a checkpoint that cannot is refused before a visitor asks."""
    side = max(classifier.data_config["input_size"])
    if side > MAX_INPUT_PX:
        raise ValueError(f"its pictures have {side} pixels a side, the limit is {MAX_INPUT_PX}")
    if not np.isfinite(classifier.probabilities([Image.new("RGB", (8, 8), "gray")])).all():
        raise ValueError("its probabilities are no numbers")
