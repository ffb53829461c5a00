"""A network gives the same logits whatever computes it, and devices are chosen as asked."""

import re

import pytest
import timm
import torch

from emotion_detective import EmotionDetective
from emotion_detective.core.loading import load_classifier
from emotion_detective.engines import runtime

RESIDUAL = ("test_resnet", "resnext50_32x4d", "resnet26d")


def random_network(architecture: str) -> torch.nn.Module:
    """Return a network whose batch normalisation is not the identity that a fresh one's is."""
    torch.manual_seed(0)
    network = timm.create_model(architecture, num_classes=6).eval()
    for layer in network.modules():
        if isinstance(layer, torch.nn.BatchNorm2d):
            layer.running_mean.normal_(std=0.1)
            layer.running_var.uniform_(0.5, 2)
            torch.nn.init.uniform_(layer.weight, 0.5, 1.5)
            torch.nn.init.normal_(layer.bias, std=0.1)
    return network


@torch.inference_mode()
def by_torch(network: torch.nn.Module, batch: torch.Tensor) -> torch.Tensor:
    return network(batch)


@pytest.mark.parametrize("architecture", RESIDUAL)
def test_onnx_runtime_gives_torchs_logits(architecture):
    network = random_network(architecture)
    runtime.to_onnx(network)  # no NotImplementedError: torch does not compute both
    batch = torch.randn(3, 3, 75, 75)
    expected = by_torch(network, batch)
    logits = runtime.forward_pass(network, runtime.CPU)(batch)
    torch.testing.assert_close(logits, expected, atol=1e-5 * float(expected.abs().max()), rtol=0)


@pytest.mark.parametrize("architecture", ["test_vit", "test_efficientnet"])
def test_torch_computes_what_has_no_translation(architecture):
    network = random_network(architecture)
    with pytest.raises(runtime.STAYS_WITH_TORCH):
        runtime.to_onnx(network)
    side = network.pretrained_cfg["input_size"][-1]
    batch = torch.randn(2, 3, side, side)
    logits = runtime.forward_pass(network, runtime.CPU)(batch)
    torch.testing.assert_close(logits, by_torch(network, batch), atol=1e-5, rtol=1e-4)


# Choosing a device


def pretend(monkeypatch, accelerator: str | None, count: int = 1) -> None:
    found = torch.device(accelerator) if accelerator else None
    monkeypatch.setattr(torch.accelerator, "current_accelerator", lambda check_available: found)
    monkeypatch.setattr(torch.accelerator, "device_count", lambda: count)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", True)


@pytest.mark.parametrize("there, expected", [(None, "cpu"), ("cuda", "cuda"), ("mps", "mps")])
def test_the_accelerator_that_torch_names_is_the_default(monkeypatch, there, expected):
    monkeypatch.delenv(runtime.DEVICE_VARIABLE, raising=False)
    pretend(monkeypatch, there)
    assert runtime.claim_device().type == expected


def test_the_variable_says_otherwise_and_the_argument_has_the_last_word(monkeypatch):
    pretend(monkeypatch, "cuda", count=2)
    monkeypatch.setenv(runtime.DEVICE_VARIABLE, "cpu")
    assert runtime.claim_device() == torch.device("cpu")
    assert runtime.claim_device("cuda:1") == torch.device("cuda:1")


def test_processes_take_the_accelerators_in_turn(monkeypatch):
    monkeypatch.delenv(runtime.DEVICE_VARIABLE, raising=False)
    pretend(monkeypatch, "cuda", count=2)
    shared = [str(runtime.share_device(process)) for process in range(3)]
    assert shared == ["cuda:0", "cuda:1", "cuda:0"]
    monkeypatch.setenv(runtime.DEVICE_VARIABLE, "cuda:1")
    assert str(runtime.share_device(0)) == "cuda:1"
    pretend(monkeypatch, None)
    monkeypatch.setenv(runtime.DEVICE_VARIABLE, "cpu")
    assert runtime.share_device(1) == runtime.CPU


def test_convolutions_on_a_gpu_keep_float32(monkeypatch):
    pretend(monkeypatch, "cuda")
    runtime.claim_device("cpu")
    assert torch.backends.cudnn.allow_tf32
    runtime.claim_device("cuda")
    assert not torch.backends.cudnn.allow_tf32


@pytest.mark.parametrize(
    "there, wanted, message",
    [
        (None, "cuda", "There is no device 'cuda' here: torch finds no accelerator"),
        ("cuda", "cuda:2", "There is no device 'cuda:2' here: torch finds 2 x cuda"),
        ("cuda", "mps", "There is no device 'mps' here: torch finds 2 x cuda"),
        (None, "gpu", "torch knows no device 'gpu'; names are cpu, cuda"),
    ],
)
def test_a_device_that_is_not_there_is_said_in_one_sentence(monkeypatch, there, wanted, message):
    pretend(monkeypatch, there, count=2)
    with pytest.raises(ValueError, match=re.escape(message)):
        runtime.claim_device(wanted)


def test_a_checkpoint_is_loaded_onto_the_device_that_is_named(tiny_checkpoint, monkeypatch):
    monkeypatch.setenv(runtime.DEVICE_VARIABLE, "cuda:7")
    with pytest.raises(ValueError, match="cuda:7"):
        load_classifier(tiny_checkpoint)
    detective = EmotionDetective.from_pretrained(tiny_checkpoint, device="cpu")
    assert detective.classifier.device == torch.device("cpu")
