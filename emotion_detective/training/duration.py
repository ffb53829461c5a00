"""How long training will take here, from a few timed steps of a network that is thrown away.

`loop.train`, `find-lr` and `compare` say it before their first step.
"""

import time

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from emotion_detective.training import machine
from emotion_detective.training.networks import create_network
from emotion_detective.training.recipe import TrainConfig

# On a CPU the time of a step is in proportion to its images; a GPU takes the whole batch.
TIMED_IMAGES_ON_CPU = 16
# Augmentation and optimiser beside the forward and backward pass (benchmarks/training_speed.py).
OVERHEAD = 1.15
# A forward pass beside a forward and backward pass.
FORWARD = 1 / 3


def estimate(
    config: TrainConfig, accelerator: Accelerator, images: int, validated: int, done: int = 0
) -> float:
    """Return the seconds of a run, without the epochs that are `done`.

    In each it learns from `images` and validates on `validated` others.
    """
    pixels = sum(config.image_size_at(epoch) ** 2 for epoch in range(done, config.epochs))
    each = time_image(config, accelerator) / config.image_sizes[-1] ** 2
    return each * pixels * (images + FORWARD * validated) / accelerator.num_processes


def time_image(config: TrainConfig, accelerator: Accelerator) -> float:
    """Return the seconds of training that an image takes at the recipe's last size."""
    device = accelerator.device
    network = create_network(config.architecture).to(device, memory_format=torch.channels_last)
    count = config.batch_size if device.type != "cpu" else TIMED_IMAGES_ON_CPU
    size = config.image_sizes[-1]
    images = torch.rand(count, 3, size, size, device=device).to(memory_format=torch.channels_last)
    seconds = []
    for _ in range(3):  # the first one allocates memory, and picks convolutions
        begin = time.perf_counter()
        with accelerator.autocast():
            loss = network(images).float().square().mean()
        loss.backward()
        loss.item()  # waits for a GPU
        seconds.append(time.perf_counter() - begin)
    return broadcast_object_list([OVERHEAD * min(seconds) / count])[0]  # the same in all processes


def describe(seconds: float) -> str:
    """Return a time and the hardware it holds for, in words."""
    number = f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{seconds / 60:.0f} minutes"
    if seconds < 90:
        number = f"{seconds:.0f} seconds"
    return f"about {number} on {machine.describe_hardware()}"
