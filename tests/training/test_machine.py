"""What a run will take: from the time of one image, for all epochs and sizes."""

import pytest
from small import SMALL_RUN

from emotion_detective.training import machine
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run import create_accelerator


def test_an_image_is_timed_in_a_fraction_of_a_second():
    config = TrainConfig(**SMALL_RUN)
    assert 0 < machine.time_image(config, create_accelerator()) < 1


def test_smaller_images_and_validation_take_their_part(monkeypatch):
    monkeypatch.setattr(machine, "time_image", lambda *_: 0.01)
    config = TrainConfig(epochs=10, image_sizes=(48, 96), image_size_shares=(0.5, 0.5))
    accelerator = create_accelerator()
    assert machine.estimate_run(config, accelerator, 1000, 0) == pytest.approx(10 * (5 * 0.25 + 5))
    assert machine.estimate_run(config, accelerator, 1000, 300, done=9) == pytest.approx(11)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(20, "20 seconds"), (600, "10 minutes"), (36_000, "10.0 hours")],
)
def test_a_time_is_said_in_its_unit_and_with_the_hardware(seconds, words):
    assert machine.describe_time(seconds).startswith(f"about {words} on CPU, ")
