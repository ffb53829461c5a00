"""The network and its checkpoint: create, save, load. The only module that imports timm's models.

A checkpoint is a folder (or Hub repository) with `config.json` and `model.safetensors` that timm,
transformers and `load_classifier` read to the same probabilities. `config.json` is the only place
where preprocessing lives. What `transformers.pipeline` cannot do, the saved weights do themselves:
`save_checkpoint` folds the conversion to gray into the first convolution and the calibration
temperature into the classifier. This module knows no faces, no training loop and no Gradio.
"""

import copy
import json
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import timm
import torch
import torchvision
from huggingface_hub import HfApi, hf_hub_download, snapshot_download
from huggingface_hub.errors import (
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    RemoteEntryNotFoundError,
)
from PIL import Image
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.data import create_transform, resolve_data_config
from timm.models import save_for_hf

from emotion_detective.recipe import ARCHITECTURE

logger = logging.getLogger(__name__)

LABELS = ("angry", "fearful", "happy", "neutral", "sad", "surprised")
# What `--init imagenet` fine-tunes: timm's strongest plain recipe for this architecture (A1,
# Wightman et al. 2021, arXiv 2110.00476).
IMAGENET_WEIGHTS = "timm/resnet50.a1_in1k"
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
PLOTS_FOLDER = "plots"
# The environment variable that names the checkpoint a page serves.
MODEL_VARIABLE = "EMOTION_MODEL"

# ITU-R BT.601, as in PIL.Image.convert("L"): what the network sees of a colour picture.
LUMA = (0.299, 0.587, 0.114)
# FER2013's training pixels have mean 0.508 and standard deviation 0.255. The same value stands for
# all three channels, or the luma could not be folded into the first convolution.
GRAY_MEAN = 0.5
GRAY_STD = 0.25
# Fields of timm's config that state where weights came from: wrong for every model saved here.
PROVENANCE = (
    "tag",
    "origin_url",
    "paper_ids",
    "paper_name",
    "license",
    "url",
    "hf_hub_id",
    "notes",
)
# Below this confidence an answer is "unsure", for a checkpoint that does not say itself.
UNSURE_BELOW = 0.5
# What a request to the Hub raises: its refusals are OSErrors, a broken connection is the HTTPError
# of httpx (huggingface_hub 1) or httpx2 (2).
HUB_ERRORS = (OSError, HTTPError)
# How long the Hub may be silent before it counts as out of reach.
HUB_TIMEOUT_S = 10
# What a config.json that timm did not write makes of loading and of the first picture.
UNUSABLE_CONFIG_ERRORS = (
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)
# No face classifier reads more; a config that asks for 50,000 would fill the memory.
MAX_INPUT_PX = 1024
# Largest number of faces in one forward pass: beyond it a CPU is slower (benchmarks/throughput.md).
MAX_BATCH = 32


@dataclass(frozen=True)
class Classifier:
    """A loaded checkpoint, ready to classify.

    `unsure_below` is the confidence under which an answer is called unsure; `metrics` is the
    checkpoint's `metrics.json` ({} if it has none); `revision` is the Hub commit, None for a
    folder.
    """

    network: torch.nn.Module
    data_config: dict
    name: str
    revision: str | None
    unsure_below: float
    metrics: dict

    @cached_property
    def _transform(self) -> Callable[[Image.Image], torch.Tensor]:
        return create_transform(**self.data_config, is_training=False)

    def preprocess(self, pictures: Sequence[Image.Image]) -> torch.Tensor:
        """Return pictures of any size and mode as a normalised `(N, 3, S, S)` float32 batch."""
        return torch.stack([self._transform(picture.convert("RGB")) for picture in pictures])

    @torch.inference_mode()
    def probabilities(self, pictures: Sequence[Image.Image]) -> np.ndarray:
        """Return `(N, 6)` float32 probabilities in the order of `LABELS`; N may be 0."""
        batches = [pictures[i : i + MAX_BATCH] for i in range(0, len(pictures), MAX_BATCH)]
        logits = [self.network(self.preprocess(batch)) for batch in batches]
        if not logits:
            return np.zeros((0, len(LABELS)), np.float32)
        return torch.cat(logits).softmax(dim=1).numpy()


def create_network(
    architecture: str = ARCHITECTURE, init: str = "scratch", drop_path_rate: float = 0.0
) -> torch.nn.Module:
    """Return a timm network with six outputs, in training mode.

    `init` is "scratch" (random), "imagenet" (`IMAGENET_WEIGHTS`, or the architecture's own default
    weights) or a checkpoint folder or repository of ours to go on from.

    Raises:
        ValueError: an unknown architecture, or weights that cannot be had; says what to do.
    """
    if init not in ("scratch", "imagenet"):
        return load_classifier(init).network.train()
    if architecture == "alexnet":
        return _create_alexnet(init)
    if not timm.is_model(architecture):
        near = ", ".join(timm.list_models(f"*{architecture[:4]}*")[:5]) or "timm.list_models()"
        raise ValueError(f"timm has no architecture {architecture!r}. Near it: {near}.")
    options = dict(num_classes=len(LABELS))
    if drop_path_rate:
        options["drop_path_rate"] = drop_path_rate
    if init == "scratch":
        return timm.create_model(architecture, pretrained=False, **options).train()
    name = f"hf-hub:{IMAGENET_WEIGHTS}" if architecture == ARCHITECTURE else architecture
    try:
        return timm.create_model(name, pretrained=True, **options).train()
    except (*HUB_ERRORS, RuntimeError) as error:
        raise ValueError(
            f"ImageNet weights for {architecture} could not be fetched ({_first_line(error)}). "
            "Connect to the Hugging Face Hub, or train without them: --init scratch, or --init "
            "FOLDER with a checkpoint."
        ) from error


def _create_alexnet(init: str) -> torch.nn.Module:
    """Return torchvision's AlexNet, which timm does not have, with what we ask of a timm network.

    It serves `train_hub.py compare`; a checkpoint of it could not be loaded by timm.
    """
    weights = torchvision.models.AlexNet_Weights.DEFAULT if init == "imagenet" else None
    try:
        network = torchvision.models.alexnet(weights=weights)
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"ImageNet weights for alexnet could not be fetched ({_first_line(error)}). Connect to "
            "the network, or train without them: --init scratch."
        ) from error
    network.classifier[6] = torch.nn.Linear(4096, len(LABELS))
    network.get_classifier = lambda: network.classifier[6]
    return network.train()


def save_checkpoint(
    network: torch.nn.Module,
    folder: Path | str,
    image_size: int,
    *,
    temperature: float = 1.0,
    unsure_below: float = UNSURE_BELOW,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write `config.json` and `model.safetensors` that need no code of ours to give the answer.

    Args:
        network: trained on gray pictures repeated three times, normalised by GRAY_MEAN, GRAY_STD.
        image_size: side of the square input in pixels.
        temperature: divides the logits (Guo et al. 2017, arXiv 1706.04599); folded into the
            classifier's weight and bias.
        dtype: of the stored weights; float16 halves the file and moves no probability by over 1e-3.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    network = fold_luma(fold_temperature(network, temperature))
    preprocessing = dict(
        input_size=(3, image_size, image_size),
        mean=(GRAY_MEAN,) * 3,
        std=(GRAY_STD,) * 3,
        interpolation="bilinear",
        crop_pct=1.0,
        crop_mode="squash",
    )
    save_for_hf(
        network.to(dtype),
        folder,
        safe_serialization=True,
        model_config=dict(label_names=list(LABELS), unsure_below=round(unsure_below, 4)),
        data_config=preprocessing,
    )
    _mend_config(folder / CONFIG_FILE)


def fold_luma(network: torch.nn.Module) -> torch.nn.Module:
    """Return a float32 copy whose first convolution reads colour as luma.

    The kernels W `(O, 3, K, K)` become `LUMA[c] * W.sum(over c)`. Because LUMA sums to 1 and all
    channels share mean and std, a colour picture then gives what its gray version gives, and a gray
    picture what it gave before.
    """
    network = copy.deepcopy(network).float().cpu().eval()
    network = network.to(memory_format=torch.contiguous_format)  # safetensors needs it
    first = network.get_submodule(network.pretrained_cfg["first_conv"])
    with torch.no_grad():
        gray_kernel = first.weight.sum(dim=1, keepdim=True)
        first.weight.copy_(gray_kernel * torch.tensor(LUMA).view(1, 3, 1, 1))
    return network


def fold_temperature(network: torch.nn.Module, temperature: float) -> torch.nn.Module:
    """Return a copy whose logits are divided by `temperature`."""
    if not temperature > 0:
        raise ValueError(f"The temperature must be above 0, not {temperature}.")
    network = copy.deepcopy(network)
    classifier = network.get_classifier()
    with torch.no_grad():
        classifier.weight.div_(temperature)
        classifier.bias.div_(temperature)
    return network


def _mend_config(path: Path) -> None:
    config = json.loads(path.read_text())
    # timm 1.0.31 repeats num_classes here, and transformers 5.23 then passes it twice and fails.
    config.get("model_args", {}).pop("num_classes", None)
    if not config.get("model_args"):
        config.pop("model_args", None)
    pretrained = config["pretrained_cfg"]
    for field in PROVENANCE:
        pretrained.pop(field, None)
    # Some architectures test at another size than they train at; ours never do.
    pretrained["test_input_size"] = pretrained["input_size"]
    pretrained["test_crop_pct"] = pretrained["crop_pct"]
    path.write_text(json.dumps(config, indent=2) + "\n")


def convert_weights(source: Path | str, target: Path | str, dtype: torch.dtype) -> None:
    """Copy a checkpoint's weights to the file `target` as `dtype`; integers stay as they are."""
    tensors = load_file(Path(source) / WEIGHTS_FILE)
    converted = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    save_file(converted, target, metadata={"format": "pt"})


def load_classifier(source: Path | str, revision: str | None = None) -> Classifier:
    """Load a checkpoint from a folder or from the Hub (`user/name` or `user/name@revision`).

    Weights are computed with in float32 whatever they are stored in. Pickles are never read.

    Raises:
        ValueError: no such folder or repository, the Hub out of reach, a file missing, other
            labels than `LABELS`, or weights that do not fit; one sentence with the remedy.
    """
    folder, commit = _fetch(str(source), revision)
    config = _read_config(folder, source)
    network = _load_network(folder, config, source)
    metrics = read_metrics(folder)
    try:
        classifier = Classifier(
            network=network.eval().to(memory_format=torch.channels_last),
            data_config=resolve_data_config(pretrained_cfg=config["pretrained_cfg"]),
            name=str(source).partition("@")[0] if commit else folder.name,
            revision=commit,
            unsure_below=float(config.get("unsure_below", UNSURE_BELOW)),
            metrics=metrics,
        )
        _try(classifier)
    except UNUSABLE_CONFIG_ERRORS as error:
        raise ValueError(
            f"The checkpoint {source} gives no answer with what its {CONFIG_FILE} says "
            f"({_first_line(error)}). Fetch it again, or name another model."
        ) from error
    return classifier


def _try(classifier: Classifier) -> None:
    """Classify one picture, so that what cannot answer is refused before a visitor asks."""
    side = max(classifier.data_config["input_size"])
    if side > MAX_INPUT_PX:
        raise ValueError(f"its pictures have {side} pixels a side, the limit is {MAX_INPUT_PX}")
    if not np.isfinite(classifier.probabilities([Image.new("RGB", (8, 8), "gray")])).all():
        raise ValueError("its probabilities are no numbers")


def read_metrics(folder: Path | str) -> dict:
    """Return the checkpoint's `metrics.json`, {} if it has none; ValueError if it is broken."""
    path = Path(folder) / METRICS_FILE
    try:
        metrics = json.loads(path.read_text()) if path.is_file() else {}
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(
            f"{path} is not JSON ({error}). Evaluate the checkpoint again, or remove the file."
        ) from error
    if not isinstance(metrics, dict):
        raise ValueError(f"{path} holds no object. Evaluate the checkpoint again, or remove it.")
    return metrics


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
            f"The model {wanted} could not be pulled from the Hub ({_first_line(error)}). Check "
            "the name, your token if it is private, and the network."
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
        labels, _, _ = (
            tuple(config["label_names"]),
            config["pretrained_cfg"],
            config["architecture"],
        )
    except (json.JSONDecodeError, UnicodeDecodeError, KeyError, TypeError) as error:
        raise ValueError(
            f"{CONFIG_FILE} of the checkpoint {source} is not one that timm writes "
            f"({_first_line(error)})."
        ) from error
    if labels != LABELS:
        raise ValueError(
            f"The checkpoint {source} has the labels {', '.join(map(str, labels))}; this program "
            f"needs {', '.join(LABELS)}, in this order."
        )
    return config


def _load_network(folder: Path, config: dict, source: Path | str) -> torch.nn.Module:
    try:
        architecture = str(config["architecture"])
        if not timm.is_model(architecture):  # but a Hub id, perhaps, which timm would fetch
            raise RuntimeError(f"timm has no architecture {architecture!r}")
        # All that has timm load weights is said here: where `model_args` says it too, a TypeError.
        network = timm.create_model(
            architecture,
            pretrained=False,
            pretrained_cfg=None,
            pretrained_cfg_overlay=None,
            checkpoint_path=None,
            num_classes=len(LABELS),
            **config.get("model_args", {}),
        )
        # Copied into float32 one by one: converted beforehand, all would be held once more.
        network.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (SafetensorError, *UNUSABLE_CONFIG_ERRORS) as error:
        raise ValueError(
            f"The weights of the checkpoint {source} are broken or do not fit its {CONFIG_FILE} "
            f"({_first_line(error)}). Fetch it again, or name another model."
        ) from error
    return network


def _first_line(error: BaseException) -> str:
    text = str(error).strip() or type(error).__name__
    return text.splitlines()[0][:200]
