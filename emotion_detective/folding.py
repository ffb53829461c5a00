"""What `transformers.pipeline` cannot do, the weights do: conversion to gray and calibration.

The network is trained on gray pictures, and its probabilities are calibrated by a temperature.
`pipeline` knows neither: it hands over a colour picture and takes the softmax. So
`checkpoint.save_checkpoint` folds both into the weights, and nothing is left to apply.
"""

import copy

import torch

# ITU-R BT.601, as in PIL.Image.convert("L"): what the network sees of a colour picture.
LUMA = (0.299, 0.587, 0.114)


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
    """Return a copy whose logits are divided by `temperature` (Guo et al. 2017, arXiv 1706.04599).

    Raises:
        ValueError: it is not above 0.
    """
    if not temperature > 0:
        raise ValueError(f"The temperature must be above 0, not {temperature}.")
    network = copy.deepcopy(network)
    classifier = network.get_classifier()
    with torch.no_grad():
        classifier.weight.div_(temperature)
        classifier.bias.div_(temperature)
    return network
