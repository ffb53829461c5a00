"""Where training starts from: nothing, ImageNet or a checkpoint."""

from pathlib import Path

import pytest
import timm
import torch
from safetensors.torch import load_file
from small import TINY, write_source
from timm.optim import param_groups_layer_decay

import train_hub
from emotion_detective.core import checkpoint
from emotion_detective.core.loading import load_classifier
from emotion_detective.training import networks
from emotion_detective.training.recipe import TrainConfig

pytest_plugins = ["hub_server"]


@pytest.fixture
def upstream(hub_here, tmp_path) -> dict[str, torch.Tensor]:
    """The weights of a small random network in the place of timm's ImageNet weights."""
    torch.manual_seed(3)
    network, folder = timm.create_model(TINY, num_classes=1000), tmp_path / "upstream"
    timm.models.save_for_hf(network, folder, safe_serialization=True)
    hub_here.store.upload(timm.get_pretrained_cfg(TINY).hf_hub_id, folder)
    return network.state_dict()


def test_init_imagenet_takes_the_body_and_a_new_head(upstream):
    network = networks.create_network(TINY, init="imagenet")
    assert network.training
    ours = network.state_dict()
    assert (len(upstream["fc.weight"]), len(ours["fc.weight"])) == (1000, 6)
    for name in ours.keys() - {"fc.weight", "fc.bias"}:
        torch.testing.assert_close(ours[name], upstream[name], rtol=0, atol=0)


def test_the_default_recipe_trains_from_imagenet_s_weights(upstream, tmp_path):
    source, output = write_source(tmp_path / "fer", train=16, test=8), tmp_path / "run"
    words = ["train", "--data", str(source), "--output", str(output), "--arch", TINY]
    assert train_hub.main([*words, "--epochs", "1", "--batch-size", "24"]) == 0
    config = checkpoint.read_metrics(output)["training"]["config"]
    assert (config["init"], config["image_sizes"]) == ("imagenet", [96])
    trained = load_classifier(output).network.state_dict()
    # Nearer to where it began than another start is: one epoch at falling rates moves it little.
    stranger = networks.create_network(TINY).state_dict()
    name = "layer4.0.conv1.weight"
    moved = [(trained[name] - start[name]).norm() for start in (upstream, stranger)]
    assert 0 < moved[0] < 0.5 * moved[1]


def test_init_imagenet_without_the_hub_offers_scratch(unplug):
    unplug()
    with pytest.raises(ValueError, match=r"could not be fetched .* --init scratch"):
        networks.create_network(init="imagenet")


def test_init_from_a_checkpoint_goes_on_from_its_weights(tiny_checkpoint):
    network = networks.create_network(init=str(tiny_checkpoint))
    assert network.training
    stored = load_file(Path(tiny_checkpoint) / checkpoint.WEIGHTS_FILE)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, stored[name], rtol=0, atol=0)


def test_whole_blocks_are_left_out_where_the_recipe_says_so():
    torch.manual_seed(0)
    images = torch.rand(8, 3, 64, 64)
    dropped, kept = (networks.create_network(TINY, drop_path=rate) for rate in (0.9, 0.0))
    for module in dropped.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.ones_(module.weight)  # the last of a block begins at 0
    assert not torch.equal(dropped(images), dropped(images))
    assert torch.equal(kept(images), kept(images))


def test_where_no_block_can_be_left_out_it_is_said(tiny_checkpoint):
    for architecture, init in (("vgg11", "scratch"), (TINY, str(tiny_checkpoint))):
        with pytest.raises(ValueError, match=r"No block of .* can be left out: add --drop-path 0"):
            networks.create_network(architecture, init, drop_path=0.05)


@pytest.mark.parametrize("architecture", ["alexnet", "repvgg_a0"])
def test_what_no_checkpoint_can_be_made_of_is_refused_before_training(architecture):
    with pytest.raises(ValueError, match=f"No checkpoint can be made of {architecture}"):
        networks.check_architecture(TrainConfig(architecture=architecture))


def test_an_architecture_with_a_size_of_its_own_says_which():
    one = {"architecture": "vit_tiny_patch16_224", "image_size_shares": (1.0,)}
    with pytest.raises(ValueError, match=r"images of 224 px only: add .* --size-spread 0\."):
        networks.check_architecture(TrainConfig(**one, image_sizes=(224,), size_spread=0.2))
    networks.check_architecture(TrainConfig(**one, image_sizes=(224,), size_spread=0.0))


def test_alexnet_s_layers_learn_the_slower_the_further_down():
    groups = param_groups_layer_decay(networks.create_network("alexnet"), layer_decay=0.5)
    scales = [group["lr_scale"] for group in groups]
    assert min(scales) < 1 == max(scales)
