"""The hardware and the versions that a result depends on, and what they allow."""

import ctypes
import os
import platform
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torch", "timm", "accelerate", "datasets")
# Option numbers of glibc's `mallopt`, from malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD = -1, -3
# More than any tensor of a batch, and more than a step frees.
ONE_TENSOR_BYTES, ALL_BYTES = 2**30, 2**31 - 1


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
