"""Small stand-ins for what is large (a network, a source of images), and ends of processes."""

import subprocess
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from emotion_detective import LABELS, data
from emotion_detective.core.detective import Prediction
from emotion_detective.evaluation.votes import COUNTED

ROOT = Path(__file__).resolve().parent.parent
EMBEDDED = ROOT / "models" / "emotion-detective-resnet50"
# timm's smallest residual network: a fraction of a second where the real one takes seconds.
TINY = "test_resnet"
# Settings of a training run of it that takes a second, and the same as options.
SMALL_RUN = dict(architecture=TINY, batch_size=24, image_sizes=(32,), image_size_shares=(1.0,))
SMALL_OPTIONS = (
    *("--arch", TINY, "--batch-size", "24"),
    *("--image-sizes", "32", "--image-size-shares", "1"),
)


def write_source(folder: Path, train: int, test: int, seed: int = 0) -> Path:
    """Write a folder like Kaggle's with so many 48x48 pictures a class, each class a pattern."""
    rng = np.random.default_rng(seed)
    for split, count in (("train", train), ("test", test)):
        for i, label in enumerate(LABELS * (count > 0)):
            (folder / split / label).mkdir(parents=True)
            for number in range(count):
                pixels = rng.integers(0, 120, (48, 48), dtype=np.uint8)
                pixels[8 * i : 8 * i + 8] += 130  # a bright bar whose height tells the class
                Image.fromarray(pixels).save(folder / split / label / f"im{number}.png")
    return folder


def write_votes(
    path: Path, *splits: datasets.Dataset | dict, without_label: int | None = None
) -> Path:
    """Write a CSV in which everybody voted for the image's own label."""
    rows = [
        f"{file},{','.join('9' if i == label else '0' for i in range(len(COUNTED)))}"
        for split in splits
        for file, label in zip(split["file"], split["label"], strict=True)
        if label != without_label
    ]
    path.write_text("\n".join([f"path,{','.join(COUNTED)}", *rows]) + "\n")
    return path


def random_pictures(mode: str, count: int = 4) -> list[Image.Image]:
    """Return pictures of noise, 64x64, in mode "L" or "RGB"."""
    rng = np.random.default_rng(0)
    shape = (64, 64) if mode == "L" else (64, 64, len(mode))
    return [Image.fromarray(rng.integers(0, 256, shape, np.uint8), mode) for _ in range(count)]


def load_parts(source: Path, cache: Path) -> datasets.DatasetDict:
    """Load a source into a cache of its own, not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
        return data.load(source)


def prediction(
    label: str = "happy",
    confidence: float = 0.9,
    box: tuple[float, float, float, float] = (10.0, 20.0, 110.0, 120.0),
    unsure: bool = False,
) -> Prediction:
    """Return the answer to a face with this label; the other labels share the rest evenly."""
    rest = (1 - confidence) / (len(LABELS) - 1)
    probabilities = tuple(confidence if name == label else rest for name in LABELS)
    return Prediction(
        box, 0.99, label=label, confidence=confidence, unsure=unsure, probabilities=probabilities
    )


def one_hot_like(predicted: list[int], confidence: list[float]) -> np.ndarray:
    """Rows with `confidence` at `predicted` and the rest spread evenly."""
    rest = (1 - np.array(confidence)) / (len(LABELS) - 1)
    probabilities = np.repeat(rest[:, None], len(LABELS), axis=1)
    probabilities[np.arange(len(predicted)), predicted] = confidence
    return probabilities


def in_a_thread(call: Callable, *arguments: Any) -> Any:
    """Return the result of a call in a thread: browser tests leave an event loop in this one."""
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(call, *arguments).result()


def assert_children_end_with(process: subprocess.Popen) -> None:
    """Kill a process at work and wait until none of its child processes runs any more."""
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) >= 2  # one is the tracker of multiprocessing's resources
    process.kill()
    deadline = time.monotonic() + 60
    while any(map(_is_alive, children)):
        assert time.monotonic() < deadline
        time.sleep(0.1)


def _is_alive(pid: str) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
