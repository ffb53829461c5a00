"""The networks that training starts from: random weights, ImageNet's, or those of a checkpoint.

Architectures and weights are timm's. Called by `run.py`.
"""

from difflib import get_close_matches

import timm
import torch
import torchvision

from emotion_detective import LABELS
from emotion_detective.core.hub import HUB_ERRORS, first_line
from emotion_detective.core.loading import load_classifier
from emotion_detective.training.recipe import ARCHITECTURE, FRESH, TrainConfig

# torchvision's network, for `train_hub.py compare`.
ALEXNET = "alexnet"


def create_network(
    architecture: str = ARCHITECTURE, init: str = "scratch", drop_path: float = 0.0
) -> torch.nn.Module:
    """Return a network with six outputs, in training mode.

    `init` is "scratch" (random), "imagenet" (timm's default weights of the architecture; of
    resnet50 A1, Wightman et al. 2021, arXiv 2110.00476) or a checkpoint of ours to go on from.
    """
    if drop_path and (init not in FRESH or architecture == ALEXNET):
        raise ValueError(f"No block of {init} {architecture} can be left out: add --drop-path 0.")
    if init not in FRESH:
        return load_classifier(init).network.train()
    check_known(architecture)
    pretrained = init == "imagenet"
    options = {"drop_path_rate": drop_path} if drop_path else {}
    try:
        if architecture == ALEXNET:
            return _create_alexnet(pretrained)
        network = timm.create_model(architecture, pretrained, num_classes=len(LABELS), **options)
        return network.train()
    except TypeError as error:  # it knows no drop path
        raise ValueError(
            f"No block of {architecture} can be left out: add --drop-path 0."
        ) from error
    except (*HUB_ERRORS, RuntimeError) as error:
        raise ValueError(
            f"ImageNet weights for {architecture} could not be fetched ({first_line(error)}). "
            "Connect to the Hugging Face Hub, or train without them: --init "
            "models/emotion-detective-resnet50 goes on from this repository's checkpoint, --init "
            "scratch from random weights."
        ) from error


def check_known(architecture: str) -> None:
    """Refuse a name that neither timm nor `compare` knows, with those near it."""
    if architecture != ALEXNET and not timm.is_model(architecture):
        near = ", ".join(get_close_matches(architecture, timm.list_models(), n=5, cutoff=0))
        raise ValueError(f"timm has no architecture {architecture!r}. Near it: {near}.")


def check_architecture(config: TrainConfig) -> None:
    """Refuse, before hours of training, a network that no checkpoint can be made of.

    Gray and temperature are folded into a single first convolution and a single classifier.
    """
    architecture = config.architecture
    check_known(architecture)
    known = architecture != ALEXNET and timm.get_pretrained_cfg(architecture)
    if not (known and isinstance(known.first_conv, str) and isinstance(known.classifier, str)):
        raise ValueError(
            f"No checkpoint can be made of {architecture}: it takes an architecture of timm with "
            "one first convolution and one classifier. `train_hub.py compare` can train it."
        )
    sizes = {size for epoch in range(config.epochs) for size in config.batch_sizes_at(epoch)}
    if known.fixed_input_size and sizes != {known.input_size[-1]}:
        raise ValueError(
            f"{architecture} takes images of {known.input_size[-1]} px only: add --image-sizes "
            f"{known.input_size[-1]} --image-size-shares 1 --size-spread 0."
        )


def _create_alexnet(pretrained: bool) -> torch.nn.Module:
    """Return torchvision's AlexNet with the attributes of a timm network that training reads."""
    weights = torchvision.models.AlexNet_Weights.DEFAULT if pretrained else None
    network = torchvision.models.alexnet(weights=weights)
    network.classifier[6] = torch.nn.Linear(4096, len(LABELS))
    network.get_classifier = lambda: network.classifier[6]
    network.pretrained_cfg = {"classifier": "classifier.6"}  # where timm's layer decay ends
    return network.train()
