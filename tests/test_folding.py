"""Gray conversion and temperature, folded into the weights, give what applying them would give."""

import pytest
import timm
import torch
from small import TINY

from emotion_detective import folding


def test_folded_luma_leaves_a_gray_batch_as_it_was():
    torch.manual_seed(1)
    network = timm.create_model(TINY, num_classes=6).eval()
    gray = torch.randn(2, 1, 64, 64).repeat(1, 3, 1, 1)
    with torch.inference_mode():
        torch.testing.assert_close(folding.fold_luma(network)(gray), network(gray))


def test_folded_luma_reads_colour_as_its_luma():
    torch.manual_seed(1)
    network = folding.fold_luma(timm.create_model(TINY, num_classes=6))
    colour = torch.randn(2, 3, 64, 64)
    luma = (colour * torch.tensor(folding.LUMA).view(1, 3, 1, 1)).sum(1, keepdim=True)
    with torch.inference_mode():
        torch.testing.assert_close(network(colour), network(luma.repeat(1, 3, 1, 1)))


def test_folding_does_not_touch_the_network_that_goes_on_training():
    network = timm.create_model(TINY, num_classes=6).train()
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    folding.fold_luma(folding.fold_temperature(network, 2.0))
    assert network.training
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, before[name], rtol=0, atol=0)


def test_folded_temperature_divides_the_logits():
    network = timm.create_model(TINY, num_classes=6).eval()
    network.get_classifier().bias.data.normal_()
    batch = torch.randn(3, 3, 64, 64)
    with torch.inference_mode():
        folded = folding.fold_temperature(network, 2.5)(batch)
        torch.testing.assert_close(folded * 2.5, network(batch))


@pytest.mark.parametrize("temperature", [0.0, -1.0, float("nan")])
def test_a_temperature_that_is_not_positive_is_refused(temperature):
    network = timm.create_model(TINY, num_classes=6)
    with pytest.raises(ValueError, match="temperature must be above 0"):
        folding.fold_temperature(network, temperature)
