"""What a run runs on, what that allows, and how long the run will take there."""

import ctypes
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list

from emotion_detective.training.networks import create_network
from emotion_detective.training.recipe import TrainConfig

PACKAGES = ("torch", "timm", "accelerate", "datasets")
# Option numbers of glibc's `mallopt`, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# More than any tensor of a batch, and more than a step frees.
ONE_TENSOR_BYTES, ALL_BYTES = 2**30, 2**31 - 1
# On a CPU the time of a step is in proportion to its images; a GPU takes the whole batch.
TIMED_IMAGES_ON_CPU = 16
# Augmentation and optimiser beside the forward and backward pass (benchmarks/training_speed.py).
OVERHEAD = 1.15
# A forward pass beside a forward and backward pass.
FORWARD = 1 / 3


def describe_hardware() -> str:
    """Return the number of this run's processes and their accelerator, or else the CPU."""
    processes = os.environ.get("WORLD_SIZE", 1)  # as torchrun and `accelerate launch` set it
    if torch.cuda.is_available():
        return f"{processes} x {torch.cuda.get_device_name(0)}"
    if torch.accelerator.is_available():
        return f"{processes} x {torch.accelerator.current_accelerator().type}"
    return f"CPU, {os.cpu_count()} cores ({_read_cpu('model name') or platform.machine()})"


def describe_versions(packages: tuple[str, ...] = PACKAGES) -> dict[str, str]:
    """Return the versions of Python and of `packages`."""
    return {"python": platform.python_version()} | {name: version(name) for name in packages}


def mixed_precision() -> str:
    """Return "bf16" where the hardware computes in bfloat16 without emulation, else "no"."""
    if torch.cuda.is_available():
        has_bfloat16 = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        has_bfloat16 = {"avx512_bf16", "amx_bf16"} & set(_read_cpu("flags").split())
    return "bf16" if has_bfloat16 else "no"


def keep_freed_memory() -> None:
    """Have glibc keep the memory that a training step frees for the next step.

    By default it goes back to the system and returns page by page, filled with zeros: a quarter of
    a step on a CPU (105 images a second instead of 78 in benchmarks/training_speed.py).
    """
    if platform.libc_ver()[0] == "glibc":
        libc = ctypes.CDLL(None)
        libc.mallopt(M_MMAP_THRESHOLD, ONE_TENSOR_BYTES)
        libc.mallopt(M_TRIM_THRESHOLD, ALL_BYTES)


def _read_cpu(field: str) -> str:
    """Return a field of Linux's description of the first core, "" elsewhere."""
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith(field)), "")


def estimate_run(
    config: TrainConfig, accelerator: Accelerator, images: int, validated: int, done: int = 0
) -> float:
    """Return the seconds of a run, without the epochs that are `done`.

    In each it learns from `images` and validates on `validated` others.
    """
    pixels = sum(config.image_size_at(epoch) ** 2 for epoch in range(done, config.epochs))
    each = time_image(config, accelerator) / config.image_sizes[-1] ** 2
    return each * pixels * (images + FORWARD * validated) / accelerator.num_processes


def time_image(config: TrainConfig, accelerator: Accelerator) -> float:
    """Return the seconds of training that an image takes at the recipe's last size.

    They are measured with a network that is thrown away, and the same in all processes.
    """
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
    return broadcast_object_list([OVERHEAD * min(seconds) / count])[0]


def describe_time(seconds: float) -> str:
    """Return a time and the hardware it holds for, in words."""
    number = f"{seconds / 3600:.1f} hours" if seconds >= 5400 else f"{seconds / 60:.0f} minutes"
    if seconds < 90:
        number = f"{seconds:.0f} seconds"
    return f"about {number} on {describe_hardware()}"
