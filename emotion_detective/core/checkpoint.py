"""The checkpoint's folder and how it is written: as the Hub, timm and transformers read it.

`config.json` and `model.safetensors` give the same probabilities in timm, in
`transformers.pipeline` and in `loading.load_classifier`; preprocessing is stored in `config.json`
and nowhere else. Called by `export.py` at the end of a run. Knows no training loop and no Hub.
"""

import copy
import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from timm.models import save_for_hf

from emotion_detective import LABELS
from emotion_detective.core.classifier import GRAY_MEAN, GRAY_STD

# ITU-R BT.601, as in PIL.Image.convert("L"): what the network sees of a colour picture.
LUMA = (0.299, 0.587, 0.114)
WEIGHTS_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
METRICS_FILE = "metrics.json"
PLOTS_FOLDER = "plots"
# FER2013's PrivateTest without disgusted: metrics of that many test images are FER2013's.
FER_PRIVATE_COUNT = 3534
# Below this confidence a prediction is "unsure", where the checkpoint names no threshold.
UNSURE_BELOW = 0.5
# Fields of timm's config that state where weights came from: wrong for every model saved here.
PROVENANCE = (
    *("tag", "origin_url", "paper_ids", "paper_name", "license", "url", "hf_hub_id", "notes"),
)


def save_checkpoint(
    network: torch.nn.Module,
    folder: Path | str,
    image_size: int,
    *,
    temperature: float = 1.0,
    unsure_below: float = UNSURE_BELOW,
    dtype: torch.dtype = torch.float32,
) -> None:
    """Write `config.json` and `model.safetensors`, which every client reads without code of ours.

    The network was trained on gray pictures repeated three times, normalised by `GRAY_MEAN` and
    `GRAY_STD`, `image_size` pixels a side. `temperature` divides its logits (Guo et al. 2017, arXiv
    1706.04599). Weights stored as float16 move no probability by over 1e-3.
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


def _mend_config(path: Path) -> None:
    config = json.loads(path.read_text())
    # timm 1.0.31 repeats num_classes here, and transformers 5.23 then passes it twice and fails.
    config.get("model_args", {}).pop("num_classes", None)
    pretrained = config["pretrained_cfg"]
    for field in PROVENANCE:
        pretrained.pop(field, None)
    # Some architectures test at another size than they train at; ours never do.
    pretrained["test_input_size"] = pretrained["input_size"]
    pretrained["test_crop_pct"] = pretrained["crop_pct"]
    # transformers would compute in the type of the stored weights, and float16 is slow on a CPU.
    # Older versions of it know no other name for this.
    config["torch_dtype"] = "float32"
    path.write_text(json.dumps(config, indent=2) + "\n")


def convert_weights(source: Path | str, target: Path | str, dtype: torch.dtype) -> None:
    """Copy a checkpoint's weights to the file `target` as `dtype`; integers stay as they are."""
    tensors = load_file(Path(source) / WEIGHTS_FILE)
    converted = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }
    save_file(converted, target, metadata={"format": "pt"})


def read_metrics(folder: Path | str) -> dict:
    """Return the checkpoint's `metrics.json`, {} if it has none."""
    path = Path(folder) / METRICS_FILE
    try:
        return dict(json.loads(path.read_text())) if path.is_file() else {}
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is no JSON object ({error}). Evaluate the checkpoint again, or remove the "
            "file."
        ) from error


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


def write_whole(path: Path, write: Callable[[Path], object]) -> None:
    """Let `write` fill a hidden file beside `path`, which takes its name once it is finished."""
    fresh = path.with_name(f".{path.name}.unfinished")
    write(fresh)
    os.replace(fresh, path)
