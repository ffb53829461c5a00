"""What a checkpoint states: labels, preprocessing, and nothing that is not true."""

import json
import shutil
from pathlib import Path

import numpy as np
import timm
import torch
from small import TINY, random_pictures

from emotion_detective import checkpoint, data, loading, model


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
    counts = sum(data.FER_TEST_COUNTS.values()) - sum(data.FER_PUBLIC_COUNTS.values())
    assert counts == checkpoint.FER_PRIVATE_COUNT
