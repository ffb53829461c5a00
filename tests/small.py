"""Small stand-ins for what is large: a network, and a source of images."""

from pathlib import Path

import datasets
import numpy as np
import pytest
from PIL import Image

from emotion_detective import data
from emotion_detective.model import LABELS

ROOT = Path(__file__).resolve().parent.parent
# timm's smallest residual network: a fraction of a second where the real one takes seconds.
TINY = "test_resnet"


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


def random_pictures(mode: str, count: int = 4, size: int = 64) -> list[Image.Image]:
    """Return pictures of noise, square, in mode "L" or "RGB"."""
    rng = np.random.default_rng(0)
    shape = (size, size) if mode == "L" else (size, size, len(mode))
    return [Image.fromarray(rng.integers(0, 256, shape, np.uint8), mode) for _ in range(count)]


def load_parts(source: Path, cache: Path) -> datasets.DatasetDict:
    """Load a source into a cache of its own, not the user's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("datasets.config.HF_DATASETS_CACHE", cache)
        return data.load(source)


def one_hot_like(predicted: list[int], confidence: list[float]) -> np.ndarray:
    """Rows with `confidence` at `predicted` and the rest spread evenly."""
    rest = (1 - np.array(confidence)) / (len(LABELS) - 1)
    probabilities = np.repeat(rest[:, None], len(LABELS), axis=1)
    probabilities[np.arange(len(predicted)), predicted] = confidence
    return probabilities
