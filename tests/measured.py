"""A checkpoint folder as training leaves it, with the metrics of random answers."""

import json
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from emotion_detective.core.checkpoint import METRICS_FILE
from emotion_detective.evaluation import metrics

TRAINING = {
    "config": {"init": "scratch", "architecture": "test_resnet", "epochs": 40},
    "seed": 7,
    "dataset": {
        "source": "emotion-detection-fer.zip",
        "train": 27000,
        "validation": 3491,
        "test": 3534,
    },
    "hardware": "1 x NVIDIA H100 80GB HBM3",
    "versions": {"torch": "2.15.0", "timm": "1.0.31"},
    "seconds": 1800.0,
    "epochs": 40,
    "best_epoch": 38,
    "date": "2025-01-31",
}


def measure(n: int, skill: float, seed: int = 0) -> dict:
    """Return the metrics of random answers that are better the larger `skill` is."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 6, n)
    logits = rng.normal(size=(n, 6)) + skill * np.eye(6)[labels]
    probabilities = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return metrics.split_metrics(probabilities, labels, rng.random(n) < 0.9, 0.5)


def measured_checkpoint(checkpoint: Path, folder: Path, skill: float = 1.0) -> Path:
    """Copy a checkpoint and put metrics.json and blank plots beside it."""
    shutil.copytree(checkpoint, folder)
    metrics = {
        "training": TRAINING,
        "calibration": {"temperature": 1.2, "unsure_below": 0.5},
        "validation": measure(3491, skill, seed=1),
        "test": measure(3534, skill),
    }
    (folder / METRICS_FILE).write_text(json.dumps(metrics))
    (folder / "plots").mkdir()
    for name in ("confusion_matrix", "per_class", "top_losses"):
        Image.new("L", (8, 8)).save(folder / "plots" / f"{name}.png")
    return folder
