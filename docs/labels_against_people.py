"""Draw what FER+'s voters see on the images of each label of FER2013.

    python docs/labels_against_people.py --data emotion-detection-fer.zip --votes ferplus_votes.csv

Writes `labels_against_people.png` beside this file, for `training.md`, and prints its numbers.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from emotion_detective import LABELS, data
from emotion_detective.core.drawing import COLORS
from emotion_detective.evaluation import votes


def main() -> None:
    """Read the command line, draw, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True)
    parser.add_argument("--votes", required=True)
    asked = parser.parse_args()
    parts = data.load(asked.data).values()
    labels = np.concatenate([part["label"] for part in parts])
    files = [file for part in parts for file in part["file"]]
    counts = votes.read_votes(asked.votes, files).counts
    # The mean of all votes for the six labels, `(6, 6)`: a row for each label.
    seen = np.stack([counts[labels == i].sum(axis=0) for i in range(len(LABELS))])
    fractions = seen / seen.sum(axis=1, keepdims=True)
    for label, row in zip(LABELS, fractions, strict=True):
        told = ", ".join(f"{name} {share:.0%}" for name, share in zip(LABELS, row, strict=True))
        print(f"labelled {label}: {told}")
    draw(fractions, Path(__file__).with_suffix(".png"))


def draw(fractions: np.ndarray, path: Path) -> None:
    """Draw a bar for each label, divided by what the voters see."""
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    axes = figure.subplots()
    for i, name in enumerate(LABELS):
        left = fractions[:, :i].sum(axis=1)
        axes.barh(LABELS, fractions[:, i], left=left, color=COLORS[name], label=name)
        for row, width in enumerate(fractions[:, i]):
            if width > 0.06:
                axes.text(left[row] + width / 2, row, f"{width:.0%}", ha="center", va="center")
    axes.invert_yaxis()
    axes.set(xlim=(0, 1), xlabel="votes", ylabel="FER2013's label")
    axes.xaxis.set_major_formatter("{x:.0%}")
    figure.legend(title="seen as", loc="outside right upper")
    figure.savefig(path, dpi=100)


if __name__ == "__main__":
    main()
