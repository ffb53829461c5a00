"""What the model saw and where it looked."""

import numpy as np
import pytest
import torch
from PIL import Image

from emotion_detective.core import heatmap
from emotion_detective.core.checkpoint import save_checkpoint
from emotion_detective.core.loading import load_classifier
from emotion_detective.training import networks


@pytest.fixture(scope="module")
def classifier(tiny_checkpoint):
    return load_classifier(tiny_checkpoint)


@pytest.fixture(scope="module")
def seen(classifier, astronaut):
    return heatmap.seen(classifier, astronaut.crop((165, 55, 285, 175)))


def test_seen_is_what_the_network_gets(classifier, seen, astronaut):
    assert seen.mode == "L"
    assert seen.size == (64, 64)
    crop = astronaut.crop((165, 55, 285, 175))
    # Rounding to whole gray levels is all that lies between them.
    assert classifier.probabilities([seen]) == pytest.approx(
        classifier.probabilities([crop]), abs=0.02
    )


def test_a_heat_map_is_a_picture_that_colours_some_places(classifier, seen):
    heat = np.asarray(heatmap.heat_map(classifier, seen, "happy"), int)
    assert heat.shape == (heatmap.SHOWN_PX, heatmap.SHOWN_PX, 3)
    colour = np.abs(heat[..., 0] - heat[..., 2])
    assert colour.max() > 40
    assert colour.min() < 5


def test_heat_maps_of_two_labels_differ(classifier, seen):
    happy, sad = (np.asarray(heatmap.heat_map(classifier, seen, x), int) for x in ("happy", "sad"))
    assert np.abs(happy - sad).max() > 10


def test_looking_leaves_the_network_as_it_was(classifier, seen):
    before = classifier.probabilities([seen])
    heatmap.heat_map(classifier, seen, "happy")
    assert not any(p.grad is not None for p in classifier.network.parameters())
    assert np.array_equal(classifier.probabilities([seen]), before)


def test_a_network_whose_stages_are_no_maps_has_no_heat_map(seen, tmp_path):
    network = networks.create_network("test_vit")
    save_checkpoint(network, tmp_path, 160, temperature=1.0, unsure_below=0.5)
    assert heatmap.heat_map(load_classifier(tmp_path), seen, "happy") is None


def test_a_picture_without_any_evidence_is_no_error(classifier):
    black = Image.new("L", (64, 64))
    heat = heatmap.heat_map(classifier, black, "angry")
    assert torch.from_numpy(np.asarray(heat).copy()).float().isfinite().all()
