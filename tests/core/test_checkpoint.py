"""What a checkpoint states: labels, preprocessing, and nothing that is not true."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from small import TINY, random_pictures

from emotion_detective.core import checkpoint, loading
from emotion_detective.core import classifier as model
from emotion_detective.data import splits


def test_config_states_labels_and_the_whole_preprocessing(tiny_checkpoint):
    config = json.loads((tiny_checkpoint / checkpoint.CONFIG_FILE).read_text())
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
    network = timm.create_model(TINY, num_classes=6)  # its configuration names ImageNet weights
    assert network.pretrained_cfg["tag"], "nothing to strip: this test would prove nothing"
    checkpoint.save_checkpoint(network, tmp_path, image_size=64)
    config = json.loads((tmp_path / checkpoint.CONFIG_FILE).read_text())
    assert not set(checkpoint.PROVENANCE) & set(config["pretrained_cfg"])
    assert "num_classes" not in config.get("model_args", {})
    assert "in1k" not in json.dumps(config)


def test_a_float16_checkpoint_is_half_the_size_and_moves_no_probability_far(
    tiny_checkpoint, tmp_path
):
    half = Path(shutil.copytree(tiny_checkpoint, tmp_path / "half"))
    checkpoint.convert_weights(tiny_checkpoint, half / checkpoint.WEIGHTS_FILE, torch.float16)
    sizes = [(f / checkpoint.WEIGHTS_FILE).stat().st_size for f in (half, tiny_checkpoint)]
    assert sizes[0] < 0.6 * sizes[1]
    pictures = random_pictures("L")
    loaded = loading.load_classifier(half)
    assert next(loaded.network.parameters()).dtype == torch.float32
    full = loading.load_classifier(tiny_checkpoint).probabilities(pictures)
    assert np.abs(loaded.probabilities(pictures) - full).max() < 1e-3


def test_fer2013_is_known_by_the_number_of_its_test_images():
    counts = sum(splits.FER_TEST_COUNTS.values()) - sum(splits.FER_PUBLIC_COUNTS.values())
    assert counts == checkpoint.FER_PRIVATE_COUNT


def test_folded_luma_leaves_a_gray_batch_as_it_was():
    torch.manual_seed(1)
    network = timm.create_model(TINY, num_classes=6).eval()
    gray = torch.randn(2, 1, 64, 64).repeat(1, 3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(checkpoint.fold_luma(network)(gray), network(gray))


def test_folded_luma_reads_colour_as_its_luma():
    torch.manual_seed(1)
    network = checkpoint.fold_luma(timm.create_model(TINY, num_classes=6))
    colour = torch.randn(2, 3, 64, 64)
    luma = (colour * torch.tensor(checkpoint.LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.inference_mode():
        torch.testing.assert_close(network(colour), network(luma.repeat(1, 3, 1, 1)))


def test_folding_does_not_touch_the_network_that_goes_on_training():
    network = timm.create_model(TINY, num_classes=6).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    checkpoint.fold_luma(checkpoint.fold_temperature(network, 2.0))
    assert network.training
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_folded_temperature_divides_the_logits():
    network = timm.create_model(TINY, num_classes=6).eval()
    network.get_classifier().bias.data.normal_()
    batch = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        folded = checkpoint.fold_temperature(network, 2.5)(batch)
        torch.testing.assert_close(folded * 2.5, network(batch))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    network = timm.create_model(TINY, num_classes=6)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        checkpoint.fold_temperature(network, temperature)
