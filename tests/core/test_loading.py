"""Loading a checkpoint, from a folder or a Hub, and the sentence that says why it fails."""

import json
import shutil
from pathlib import Path
from unittest import mock

import pytest
import torch
from huggingface_hub.errors import GatedRepoError
from safetensors.torch import load_file, save_file

from emotion_detective.core import classifier as model
from emotion_detective.core import loading
from emotion_detective.core.checkpoint import (
    CONFIG_FILE,
    METRICS_FILE,
    UNSURE_BELOW,
    WEIGHTS_FILE,
)

pytest_plugins = ["hub_server"]


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may break."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def edit_config(checkpoint: Path, **fields) -> None:
    path = checkpoint / CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def test_a_folder_gives_its_name_its_threshold_and_its_metrics_or_defaults(checkpoint):
    edit_config(checkpoint, unsure_below=0.42)
    (checkpoint / METRICS_FILE).write_text('{"test": {"accuracy": 0.5}}')
    full = loading.load_classifier(checkpoint)
    assert (full.name, full.revision, full.unsure_below) == ("checkpoint", None, 0.42)
    assert full.metrics == {"test": {"accuracy": 0.5}}
    config = json.loads((checkpoint / CONFIG_FILE).read_text())
    del config["unsure_below"]
    (checkpoint / CONFIG_FILE).write_text(json.dumps(config))
    (checkpoint / METRICS_FILE).unlink()
    bare = loading.load_classifier(checkpoint)
    assert (bare.unsure_below, bare.metrics) == (UNSURE_BELOW, {})


# What is refused


def refused(source: Path | str, *parts: str) -> None:
    """Loading fails with one sentence or two that hold all `parts`."""
    with pytest.raises(ValueError) as error:
        loading.load_classifier(source)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_missing_folder_is_named(hub_here, tmp_path):
    missing = tmp_path / "nowhere"
    refused(missing, str(missing), "No folder")
    assert hub_here.requests == []


@pytest.mark.parametrize("name", [WEIGHTS_FILE, CONFIG_FILE])
def test_a_folder_that_lacks_a_file_is_refused(checkpoint, name):
    torch.save({}, checkpoint / "pytorch_model.bin")
    (checkpoint / name).unlink()
    refused(checkpoint, f"has no {name}", "pickled weights are never loaded")


@pytest.mark.parametrize(
    "content", ["{", "[]", "{}", "\x00", "null", '{"label_names": 6, "pretrained_cfg": {}}']
)
def test_a_broken_config_is_refused(checkpoint, content):
    (checkpoint / CONFIG_FILE).write_text(content)
    refused(checkpoint, "its config.json is not what timm wrote")


def test_truncated_weights_are_refused(checkpoint):
    path = checkpoint / WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1000])
    refused(checkpoint, "its weights are broken")


@pytest.mark.parametrize(
    "wrong",
    [
        {"label_names": [*model.LABELS[::-1]]},
        {"label_names": [*model.LABELS, "disgusted"]},
        {"architecture": "test_vit"},
        {"architecture": None},
        {"model_args": {"checkpoint_path": "/etc/passwd"}},
        {"model_args": {"pretrained": True}},
        {"model_args": {"pretrained_cfg": {"url": "http://127.0.0.1:9/weights.pth"}}},
        {"model_args": ["pretrained"]},
        {"pretrained_cfg": "64 pixels"},
        {"pretrained_cfg": {"input_size": [3, 50_000, 50_000]}},
        {"pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.5], "std": ["a"]}},
        {"unsure_below": "half"},
    ],
)
def test_a_config_that_does_not_fit_or_names_other_weights_is_refused(checkpoint, wrong):
    edit_config(checkpoint, **wrong)
    refused(checkpoint, "its config.json is not what timm wrote")


@pytest.mark.parametrize("architecture", ["hf-hub:user/tiny", "local-dir:/tmp"])
def test_a_config_cannot_name_another_checkpoint(hub_here, checkpoint, architecture):
    edit_config(checkpoint, architecture=architecture)
    refused(checkpoint, "timm has no architecture")
    assert hub_here.requests == []


def test_weights_that_are_no_numbers_are_refused(checkpoint):
    path = checkpoint / WEIGHTS_FILE
    tensors = load_file(path)
    tensors["fc.bias"] = torch.full_like(tensors["fc.bias"], float("nan"))
    save_file(tensors, path)
    refused(checkpoint, "its probabilities are no numbers")


def test_a_pickle_under_the_name_of_safe_weights_is_not_unpickled(checkpoint):
    class Burglar:
        def __reduce__(self):
            return (Path.touch, (checkpoint / "been here",))

    torch.save(Burglar(), checkpoint / WEIGHTS_FILE)
    refused(checkpoint, "its weights are broken")
    assert not (checkpoint / "been here").exists()


@pytest.mark.parametrize("content", ["{", '"n"'])
def test_broken_metrics_are_refused(checkpoint, content):
    (checkpoint / METRICS_FILE).write_text(content)
    refused(checkpoint, "metrics.json")


# The Hub


@pytest.mark.parametrize("name", ["user/none", "user/none@v1", "just-a-name"])
def test_a_repository_that_is_not_there_is_named(hub_here, name):
    refused(name, name.partition("@")[0], "Check the name")


@pytest.mark.parametrize("name", ["a b/c", "a/b/c", "user/.."])
def test_a_name_that_no_repository_can_have_is_refused_unasked(hub_here, name):
    refused(name, "user/name")
    assert hub_here.requests == []


def test_a_hub_out_of_reach_is_told_from_a_wrong_name(unplug):
    unplug()
    refused("user/tiny", "no folder 'user/tiny' here", "could not be pulled", "network")


def test_a_model_pulled_once_is_there_without_the_hub(hub_here, tiny_checkpoint, unplug):
    hub_here.store.upload("user/tiny", tiny_checkpoint)
    first = loading.load_classifier("user/tiny")
    unplug()
    assert loading.load_classifier("user/tiny").revision == first.revision


@pytest.mark.parametrize(
    ("request_line", "how"), [("GET /api/models", "slow"), ("GET .*safetensors", 500)]
)
def test_a_pull_that_fails_is_one_sentence_and_can_be_repeated(
    hub_here, tiny_checkpoint, request_line, how, monkeypatch
):
    hub_here.store.upload("user/tiny", tiny_checkpoint)
    hub_here.fail(request_line, how)
    with monkeypatch.context() as patch:
        patch.setattr(loading, "HUB_TIMEOUT_S", 1)
        refused("user/tiny", "could not be pulled")
    assert loading.load_classifier("user/tiny").name == "user/tiny"


def test_a_private_model_needs_the_token(hub_here, tiny_checkpoint, monkeypatch):
    hub_here.store.upload("user/secret", tiny_checkpoint).private = True
    monkeypatch.setenv("HF_TOKEN", "")
    refused("user/secret", "if it is private, log in with `hf auth login`, or set HF_TOKEN")


def test_a_gated_model_is_called_gated(monkeypatch):
    def refuse(*_):
        raise GatedRepoError("403 Client Error.", response=mock.Mock())

    monkeypatch.setattr(loading, "_pull", refuse)
    refused("user/gated", "It is gated: ask for access on its page on the Hub, then log in")


def test_a_revision_is_pinned_and_told(hub_here, tiny_checkpoint):
    repo = hub_here.store.upload("user/tiny", tiny_checkpoint)
    repo.tags["v1"] = repo.head
    repo.add_commit({})
    classifier = loading.load_classifier("user/tiny@v1")
    assert classifier.name == "user/tiny"
    assert classifier.revision == repo.tags["v1"]
    refused("user/tiny", "user/tiny")
