"""Pictures of the predictions that are most wrong, for whoever trained the checkpoint.

`export.measure` draws them beside the plots of an evaluation. They show people's faces, so that
unlike the plots they are never pushed (`card.PLOTS` lists what is).
"""

import math
from collections.abc import Sequence
from pathlib import Path

import datasets
import numpy as np
from matplotlib.figure import Figure
from PIL import Image

from emotion_detective import LABELS
from emotion_detective.evaluation.plots import WIDTH_INCHES, save

COLUMNS = 5
ROW_INCHES = 2.2  # a picture over four lines of caption
TOP_LOSSES_SHOWN = 20


def draw_top_losses(
    split: datasets.Dataset, probabilities: np.ndarray, labels: np.ndarray, path: Path
) -> Path:
    """Draw the images whose label has the least probability, with their file names."""
    of_label = probabilities[np.arange(len(labels)), labels]
    worst = np.argsort(of_label, kind="stable")[:TOP_LOSSES_SHOWN]
    rows = split[worst.tolist()]
    captions = [
        f"{file}\nlabelled {LABELS[labels[i]]} {of_label[i]:.1%}\n"
        f"predicted {LABELS[probabilities[i].argmax()]} {probabilities[i].max():.0%}"
        for i, file in zip(worst, rows["file"], strict=True)
    ]
    title = f"The {len(worst)} images with the highest loss"
    return draw(rows["image"], captions, title, path)


def draw_disagreements(split: datasets.Dataset, vote_metrics: dict, path: Path) -> Path:
    """Draw the images whose FER+ votes contradict their FER2013 label most."""
    shown = vote_metrics["disagreements"]
    files = split["file"][:]
    pictures = [split[files.index(image["file"])]["image"] for image in shown]
    captions = [
        f"{image['file']}\nlabelled {image['label']}\n"
        f"{image['votes'][image['majority']]} votes for {image['majority']}\n"
        f"predicted {image['predicted']} {image['confidence']:.0%}"
        for image in shown
    ]
    return draw(pictures, captions, "Images whose FER+ votes contradict their label", path)


def draw(pictures: Sequence[Image.Image], captions: Sequence[str], title: str, path: Path) -> Path:
    """Draw pictures of any size and mode in rows of five, each above its caption."""
    row_count = max(math.ceil(len(pictures) / COLUMNS), 1)
    height = 0.5 + row_count * ROW_INCHES
    figure = Figure(figsize=(WIDTH_INCHES, height), layout="constrained")
    grid = figure.subplots(row_count, COLUMNS, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, picture, caption in zip(grid.flat, pictures, captions, strict=False):
        axes.imshow(picture.convert("RGB"), interpolation="nearest")
        axes.text(0.5, -0.04, caption, transform=axes.transAxes, ha="center", va="top", fontsize=8)
    figure.suptitle(title, fontsize=12)
    return save(figure, path)
