"""The checkpoint: what is folded into the weights, what config.json says, how loading fails."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from PIL import Image
from safetensors.torch import load_file, save_file
from small import TINY

from emotion_detective import model

pytest_plugins = ["hub_server"]


@pytest.fixture
def checkpoint(tiny_checkpoint: Path, tmp_path: Path) -> Path:
    """A copy of the tiny checkpoint that a test may break."""
    return Path(shutil.copytree(tiny_checkpoint, tmp_path / "checkpoint"))


def edit_config(checkpoint: Path, **fields) -> None:
    path = checkpoint / model.CONFIG_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def random_pictures(mode: str, count: int = 4, size: int = 64) -> list[Image.Image]:
    rng = np.random.default_rng(0)
    shape = (size, size) if mode == "L" else (size, size, len(mode))
    return [Image.fromarray(rng.integers(0, 256, shape, np.uint8), mode) for _ in range(count)]


# Folding


def test_folded_luma_leaves_a_gray_batch_as_it_was():
    torch.manual_seed(1)
    network = timm.create_model(TINY, num_classes=6).eval()
    gray = torch.randn(2, 1, 64, 64).repeat(1, 3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(model.fold_luma(network)(gray), network(gray))


def test_folded_luma_reads_colour_as_its_luma():
    torch.manual_seed(1)
    network = model.fold_luma(timm.create_model(TINY, num_classes=6))
    colour = torch.randn(2, 3, 64, 64)
    luma = (colour * torch.tensor(model.LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.inference_mode():
        torch.testing.assert_close(network(colour), network(luma.repeat(1, 3, 1, 1)))


def test_folding_does_not_touch_the_network_that_goes_on_training():
    network = timm.create_model(TINY, num_classes=6).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    model.fold_luma(model.fold_temperature(network, 2.0))
    assert network.training
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_folded_temperature_divides_the_logits():
    network = timm.create_model(TINY, num_classes=6).eval()
    network.get_classifier().bias.data.normal_()
    batch = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        folded = model.fold_temperature(network, 2.5)(batch)
        torch.testing.assert_close(folded * 2.5, network(batch))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    network = timm.create_model(TINY, num_classes=6)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        model.fold_temperature(network, temperature)


# What is written


def test_config_states_labels_and_the_whole_preprocessing(tiny_checkpoint):
    config = json.loads((tiny_checkpoint / model.CONFIG_FILE).read_text())
    assert config["label_names"] == list(model.LABELS)
    assert config["num_classes"] == 6
    assert config["unsure_below"] == 0.5
    preprocessing = config["pretrained_cfg"]
    assert preprocessing["input_size"] == preprocessing["test_input_size"] == [3, 64, 64]
    assert preprocessing["crop_pct"] == preprocessing["test_crop_pct"] == 1.0
    assert preprocessing["crop_mode"] == "squash"
    assert preprocessing["interpolation"] == "bilinear"
    assert preprocessing["mean"] == [0.5] * 3
    assert preprocessing["std"] == [0.25] * 3


def test_config_claims_no_provenance_and_repeats_no_class_count(tmp_path):
    # resnet50's default configuration names ImageNet weights, a paper and a licence.
    network = timm.create_model(model.ARCHITECTURE, num_classes=6)
    assert network.pretrained_cfg["tag"], "nothing to strip: this test would prove nothing"
    model.save_checkpoint(network, tmp_path, image_size=64)
    config = json.loads((tmp_path / model.CONFIG_FILE).read_text())
    assert not set(model.PROVENANCE) & set(config["pretrained_cfg"])
    assert "num_classes" not in config.get("model_args", {})
    assert "in1k" not in json.dumps(config)


def test_a_float16_checkpoint_is_half_the_size_and_moves_no_probability_far(
    tiny_checkpoint, tmp_path
):
    half = Path(shutil.copytree(tiny_checkpoint, tmp_path / "half"))
    model.convert_weights(tiny_checkpoint, half / model.WEIGHTS_FILE, torch.float16)
    sizes = [(f / model.WEIGHTS_FILE).stat().st_size for f in (half, tiny_checkpoint)]
    assert sizes[0] < 0.6 * sizes[1]
    pictures = random_pictures("L")
    loaded = model.load_classifier(half)
    assert next(loaded.network.parameters()).dtype == torch.float32
    full = model.load_classifier(tiny_checkpoint).probabilities(pictures)
    assert np.abs(loaded.probabilities(pictures) - full).max() < 1e-3


# What is loaded


def test_probabilities_are_six_a_picture_and_sum_to_one(tiny_checkpoint):
    classifier = model.load_classifier(tiny_checkpoint)
    probabilities = classifier.probabilities(random_pictures("RGB", count=3))
    assert probabilities.shape == (3, 6)
    assert probabilities.dtype == np.float32
    np.testing.assert_allclose(probabilities.sum(1), 1, atol=1e-6)
    assert classifier.probabilities([]).shape == (0, 6)


def test_more_pictures_than_a_batch_come_back_in_order(tiny_checkpoint, monkeypatch):
    classifier = model.load_classifier(tiny_checkpoint)
    pictures = random_pictures("L", count=5)
    at_once = classifier.probabilities(pictures)
    monkeypatch.setattr(model, "MAX_BATCH", 2)
    np.testing.assert_allclose(classifier.probabilities(pictures), at_once, atol=1e-6)


def test_a_folder_gives_its_name_its_threshold_and_its_metrics(checkpoint):
    edit_config(checkpoint, unsure_below=0.42)
    (checkpoint / model.METRICS_FILE).write_text('{"test": {"accuracy": 0.5}}')
    classifier = model.load_classifier(checkpoint)
    assert classifier.name == "checkpoint"
    assert classifier.revision is None
    assert classifier.unsure_below == 0.42
    assert classifier.metrics == {"test": {"accuracy": 0.5}}


def test_a_checkpoint_without_threshold_and_metrics_gets_defaults(checkpoint):
    config = json.loads((checkpoint / model.CONFIG_FILE).read_text())
    del config["unsure_below"]
    (checkpoint / model.CONFIG_FILE).write_text(json.dumps(config))
    classifier = model.load_classifier(checkpoint)
    assert classifier.unsure_below == model.UNSURE_BELOW
    assert classifier.metrics == {}


# What is refused


def refused(source: Path | str, *parts: str) -> None:
    """Loading fails with one sentence or two that hold all `parts`."""
    with pytest.raises(ValueError) as error:
        model.load_classifier(source)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_missing_folder_is_named(hub_here, tmp_path):
    missing = tmp_path / "nowhere"
    refused(missing, str(missing), "No folder")
    assert hub_here.requests == []


def test_a_folder_with_only_a_pickle_is_refused(checkpoint):
    torch.save({}, checkpoint / "pytorch_model.bin")
    (checkpoint / model.WEIGHTS_FILE).unlink()
    refused(checkpoint, "has no model.safetensors", "pickled weights are never loaded")


def test_a_folder_without_config_is_refused(checkpoint):
    (checkpoint / model.CONFIG_FILE).unlink()
    refused(checkpoint, "has no config.json")


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        "{}",
        "\x00",
        '{"label_names": 6, "pretrained_cfg": {}, "architecture": "resnet50"}',
        "null",
    ],
)
def test_a_broken_config_is_refused(checkpoint, content):
    (checkpoint / model.CONFIG_FILE).write_text(content)
    refused(checkpoint, "config.json", "is not one that timm writes")


@pytest.mark.parametrize(
    "labels", [["angry"], list(reversed(model.LABELS)), [*model.LABELS, "disgusted"], "happy"]
)
def test_other_labels_are_refused(checkpoint, labels):
    edit_config(checkpoint, label_names=labels)
    refused(checkpoint, "angry, fearful, happy, neutral, sad, surprised")


def test_truncated_weights_are_refused(checkpoint):
    path = checkpoint / model.WEIGHTS_FILE
    path.write_bytes(path.read_bytes()[:-1000])
    refused(checkpoint, "weights", "broken")


def test_weights_with_a_missing_tensor_are_refused(checkpoint):
    tensors = load_file(checkpoint / model.WEIGHTS_FILE)
    tensors.popitem()
    save_file(tensors, checkpoint / model.WEIGHTS_FILE)
    refused(checkpoint, "do not fit its config.json")


@pytest.mark.parametrize("architecture", ["test_vit", "no_such_network", None])
def test_weights_of_another_architecture_are_refused(checkpoint, architecture):
    edit_config(checkpoint, architecture=architecture)
    refused(checkpoint, "do not fit its config.json")


@pytest.mark.parametrize(
    "loading",
    [
        {"checkpoint_path": "/etc/passwd"},
        {"pretrained": True},
        {"pretrained_cfg": {"url": "http://127.0.0.1:9/weights.pth"}},
        {"num_classes": 7},
        ["pretrained"],
    ],
)
def test_a_config_cannot_have_other_weights_loaded(checkpoint, loading):
    edit_config(checkpoint, model_args=loading)
    refused(checkpoint, "do not fit its config.json")


@pytest.mark.parametrize("architecture", ["hf-hub:user/tiny", "local-dir:/tmp"])
def test_a_config_cannot_name_another_checkpoint(hub_here, checkpoint, architecture):
    edit_config(checkpoint, architecture=architecture)
    refused(checkpoint, "timm has no architecture")
    assert hub_here.requests == []


@pytest.mark.parametrize(
    "wrong",
    [
        {"pretrained_cfg": "64 pixels"},
        {"pretrained_cfg": {"input_size": [3, 50_000, 50_000]}},
        {"pretrained_cfg": {"input_size": [3, 64, 64], "mean": [0.5], "std": ["a"]}},
        {"pretrained_cfg": {"input_size": [3, 64, 64], "interpolation": "guessing"}},
        {"unsure_below": "half"},
    ],
)
def test_a_config_that_no_picture_fits_is_refused(checkpoint, wrong):
    edit_config(checkpoint, **wrong)
    refused(checkpoint, "gives no answer with what its config.json says")


def test_weights_that_are_no_numbers_are_refused(checkpoint):
    path = checkpoint / model.WEIGHTS_FILE
    tensors = load_file(path)
    tensors["fc.bias"] = torch.full_like(tensors["fc.bias"], float("nan"))
    save_file(tensors, path)
    refused(checkpoint, "its probabilities are no numbers")


def test_a_pickle_under_the_name_of_safe_weights_is_not_unpickled(checkpoint):
    class Burglar:
        def __reduce__(self):
            return (Path.touch, (checkpoint / "been here",))

    torch.save(Burglar(), checkpoint / model.WEIGHTS_FILE)
    refused(checkpoint, "weights", "broken")
    assert not (checkpoint / "been here").exists()


@pytest.mark.parametrize("content", ["{", "[]", '"n"'])
def test_broken_metrics_are_refused(checkpoint, content):
    (checkpoint / model.METRICS_FILE).write_text(content)
    refused(checkpoint, "metrics.json")


# The Hub


@pytest.mark.parametrize("name", ["user/none", "user/none@v1", "just-a-name"])
def test_a_repository_that_is_not_there_is_named(hub_here, name):
    refused(name, name.partition("@")[0], "Check the name")


@pytest.mark.parametrize("name", ["a b/c", "a/b/c", "user/.."])
def test_a_name_that_no_repository_can_have_is_refused_unasked(hub_here, name):
    refused(name, "user/name")
    assert hub_here.requests == []


def test_an_unknown_revision_is_named(hub_here, tiny_checkpoint):
    hub_here.store.upload("user/tiny", tiny_checkpoint)
    refused("user/tiny@v9", "user/tiny at revision v9")


def test_a_hub_out_of_reach_is_told_from_a_wrong_name(unplug):
    unplug()
    refused("user/tiny", "could not be pulled", "network")


def test_a_model_pulled_once_is_there_without_the_hub(hub_here, tiny_checkpoint, unplug):
    hub_here.store.upload("user/tiny", tiny_checkpoint)
    first = model.load_classifier("user/tiny")
    unplug()
    assert model.load_classifier("user/tiny").revision == first.revision


@pytest.mark.parametrize(
    ("request_line", "how"),
    [
        ("GET /api/models", "error"),
        ("GET /api/models", "cut"),
        ("GET /api/models", "slow"),
        ("GET .*safetensors", "error"),
    ],
)
def test_a_pull_that_fails_is_one_sentence_and_can_be_repeated(
    hub_here, tiny_checkpoint, request_line, how, monkeypatch
):
    monkeypatch.setattr(model, "HUB_TIMEOUT_S", 1)
    hub_here.store.upload("user/tiny", tiny_checkpoint)
    hub_here.fail(request_line, how, seconds=3)
    refused("user/tiny", "could not be pulled")
    assert model.load_classifier("user/tiny").name == "user/tiny"


def test_weights_cut_off_on_the_way_are_fetched_on(hub_here, tiny_checkpoint):
    hub_here.store.upload("user/tiny", tiny_checkpoint)
    hub_here.fail("GET .*safetensors", "cut")
    pulled = model.load_classifier("user/tiny").network.state_dict()
    for name, tensor in load_file(tiny_checkpoint / model.WEIGHTS_FILE).items():
        torch.testing.assert_close(pulled[name], tensor, rtol=0, atol=0)


def test_a_private_model_needs_the_token(hub_here, tiny_checkpoint, monkeypatch):
    hub_here.store.upload("user/secret", tiny_checkpoint).private = True
    monkeypatch.setenv("HF_TOKEN", "")
    refused("user/secret", "your token if it is private")


def test_a_revision_is_pinned_and_told(hub_here, tiny_checkpoint):
    repo = hub_here.store.upload("user/tiny", tiny_checkpoint)
    repo.tags["v1"] = repo.head
    repo.add_commit({})
    classifier = model.load_classifier("user/tiny@v1")
    assert classifier.name == "user/tiny"
    assert classifier.revision == repo.tags["v1"]
    refused("user/tiny", "user/tiny")


# Where training starts from


def upload_imagenet(hub, folder: Path) -> torch.nn.Module:
    """Put a random resnet50 in the place of timm's ImageNet weights."""
    torch.manual_seed(3)
    network = timm.create_model(model.ARCHITECTURE, num_classes=1000)
    timm.models.save_for_hf(network, folder, safe_serialization=True)
    hub.store.upload(model.IMAGENET_WEIGHTS, folder)
    return network


def test_init_imagenet_takes_the_body_and_a_new_head(hub_here, tmp_path):
    upstream = upload_imagenet(hub_here, tmp_path / "upstream").state_dict()
    network = model.create_network(init="imagenet")
    assert network.training
    ours = network.state_dict()
    assert ours["fc.weight"].shape == (6, 2048)
    for name in ("conv1.weight", "layer4.2.conv3.weight"):
        torch.testing.assert_close(ours[name], upstream[name], rtol=0, atol=0)


def test_init_imagenet_without_the_hub_offers_scratch(unplug):
    unplug()
    with pytest.raises(ValueError, match="ImageNet weights for resnet50 could not be fetched") as e:
        model.create_network(init="imagenet")
    assert "--init scratch" in str(e.value)


def test_init_from_a_checkpoint_goes_on_from_its_weights(tiny_checkpoint):
    network = model.create_network(TINY, init=str(tiny_checkpoint))
    assert network.training
    stored = load_file(tiny_checkpoint / model.WEIGHTS_FILE)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, stored[name], rtol=0, atol=0)


def test_an_unknown_architecture_is_answered_with_its_neighbours():
    with pytest.raises(ValueError, match=r"'resnet51'.*resnet"):
        model.create_network("resnet51")
