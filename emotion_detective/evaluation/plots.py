"""The plots of an evaluation and of a training run as PNG, and tables in Markdown.

Figures are made without pyplot: none stays open, and no display is needed. Colours are Okabe and
Ito's, which colour-blind people can tell apart.
"""

import math
from collections.abc import Iterable
from pathlib import Path

import datasets
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from emotion_detective import LABELS
from emotion_detective.core.checkpoint import PLOTS_FOLDER
from emotion_detective.evaluation.metrics import (
    ANSWERED_ACCURACY_TARGET,
    CALIBRATION_BINS,
    judge,
    reliability_bins,
)

# Okabe and Ito 2008, "Color Universal Design".
BLUE, ORANGE, GREEN, VERMILION, GRAY = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#767676"
# Over 8 inches matplotlib's 10 points are 14 px high at a card's 800 px; 150 dpi keeps them sharp.
WIDTH_INCHES = 8.0
DPI = 150
TOP_LOSSES_SHOWN, TOP_LOSSES_A_ROW = 20, 5


def write_plots(
    folder: Path | str, probabilities: np.ndarray, labels: np.ndarray, metrics: dict
) -> list[Path]:
    """Write the plots of an evaluation, with its `compute_metrics`, under `folder/plots`."""
    plots = Path(folder) / PLOTS_FOLDER
    return [
        plot_confusion_matrix(metrics, plots / "confusion_matrix.png"),
        plot_per_class(metrics, plots / "per_class.png"),
        plot_reliability(probabilities, labels, metrics, plots / "reliability.png"),
        plot_confidence(probabilities, labels, metrics, plots / "confidence.png"),
    ]


def plot_confusion_matrix(metrics: dict, path: Path) -> Path:
    """Draw the counts, shaded by and labelled with the fraction of each row."""
    figure = Figure(figsize=(WIDTH_INCHES, 7.6), layout="constrained")
    title = f"Confusion matrix: faces and percent of the row ({_show_n(metrics)})"
    _draw_confusion_matrix(figure.subplots(), metrics, title)
    return save(figure, path)


def plot_change(before: dict, after: dict, path: Path) -> Path:
    """Draw the confusion matrices before and after training, on the same images, side by side."""
    figure = Figure(figsize=(2 * WIDTH_INCHES, 7.6), layout="constrained")
    named = (("before", before), ("after", after))
    for axes, (name, metrics) in zip(figure.subplots(1, 2), named, strict=True):
        title = f"{name}: {metrics['accuracy']:.1%} of {metrics['n']:,} predicted as labelled"
        _draw_confusion_matrix(axes, metrics, title)
    return save(figure, path)


def _draw_confusion_matrix(axes: Axes, metrics: dict, title: str) -> None:
    counts = np.array(metrics["confusion_matrix"])
    fractions = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(fractions, cmap="Blues", vmin=0, vmax=1)
    for (row, column), fraction in np.ndenumerate(fractions):
        text = f"{counts[row, column]}\n{fraction:.0%}"
        color, weight = "white" if fraction > 0.5 else "black", "bold" if row == column else None
        centered = {"ha": "center", "va": "center"}
        axes.text(column, row, text, **centered, color=color, fontsize=12, fontweight=weight)
    axes.set_xticks(range(len(LABELS)), LABELS)
    axes.set_yticks(range(len(LABELS)), LABELS)
    axes.set_xlabel("predicted")
    axes.set_ylabel("labelled")
    axes.set_title(title)


def plot_per_class(metrics: dict, path: Path) -> Path:
    """Draw precision, recall and F1 of each label with their 95% intervals."""
    figure = Figure(figsize=(WIDTH_INCHES, 5.4), layout="constrained")
    axes = figure.subplots()
    series = (("precision", ORANGE, "s"), ("recall", BLUE, "o"), ("f1", "black", "D"))
    for offset, (name, colour, marker) in zip((-0.22, 0, 0.22), series, strict=True):
        scores = [metrics["per_class"][label] for label in LABELS]
        values = np.array([score[name] for score in scores])
        low, high = np.array([score[f"{name}_interval"] for score in scores]).T
        rows = np.arange(len(LABELS)) + offset
        axes.errorbar(
            values,
            rows,
            # A percentile interval can lie beside a value of 0 or 1; matplotlib wants lengths >= 0.
            xerr=np.maximum([values - low, high - values], 0),
            fmt=marker,
            color=colour,
            capsize=3,
            label="F1" if name == "f1" else name,
        )
        for value, end, row in zip(values, high, rows, strict=True):
            beside = {"xytext": (5, 0), "textcoords": "offset points", "va": "center"}
            axes.annotate(f"{value:.0%}", (end, row), **beside)
    names = [f"{label}\nn = {metrics['per_class'][label]['support']}" for label in LABELS]
    axes.set_yticks(range(len(LABELS)), names)
    axes.invert_yaxis()
    axes.set_xlim(0, 1.06)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.grid(axis="x", alpha=0.3)
    axes.legend(loc="lower left")
    axes.set_title(
        f"Each emotion, with 95% intervals (accuracy {metrics['accuracy']:.1%}, "
        f"macro-F1 {metrics['macro_f1']:.1%}, {_show_n(metrics)})"
    )
    return save(figure, path)


def plot_reliability(
    probabilities: np.ndarray, labels: np.ndarray, metrics: dict, path: Path
) -> Path:
    """Draw accuracy against confidence in the bins of the calibration error, over their counts."""
    count, confidence, accuracy = reliability_bins(*judge(probabilities, labels))
    filled = count > 0
    width = 1 / CALIBRATION_BINS
    centers = (np.arange(CALIBRATION_BINS) + 0.5) * width
    figure = Figure(figsize=(WIDTH_INCHES, 7.6), layout="constrained")
    top, bottom = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    top.bar(centers[filled], accuracy[filled], width * 0.92, color=BLUE, label="accuracy")
    means = confidence[filled], accuracy[filled]
    top.plot(*means, "D", color="black", label="accuracy at mean confidence")
    top.plot((0, 1), (0, 1), "--", color=VERMILION, label="perfect calibration")
    top.set_ylabel("accuracy")
    top.set_ylim(0, 1.04)
    top.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    top.legend(loc="upper left")
    top.set_title(f"Reliability: calibration error {metrics['ece']:.3f} ({_show_n(metrics)})")
    bottom.bar(centers, count, width * 0.92, color=GRAY)
    for center, n in zip(centers[filled], count[filled], strict=True):
        bottom.annotate(f"{n}", (center, n), (0, 2), textcoords="offset points", ha="center")
    bottom.margins(y=0.2)
    bottom.set_ylabel("faces")
    bottom.set_xlabel("confidence")
    bottom.set_xlim(0, 1)
    bottom.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    return save(figure, path)


def plot_confidence(
    probabilities: np.ndarray, labels: np.ndarray, metrics: dict, path: Path
) -> Path:
    """Draw the fraction of faces above each confidence, and of these labelled right."""
    confidence, right = judge(probabilities, labels)
    order = np.argsort(-confidence)
    answered = np.arange(1, len(right) + 1)
    figure = Figure(figsize=(WIDTH_INCHES, 5.0), layout="constrained")
    axes = figure.subplots()
    axes.plot(confidence[order], np.cumsum(right[order]) / answered, color=BLUE, lw=2.5)
    axes.plot(confidence[order], answered / len(right), "--", color=ORANGE, lw=2.5)
    axes.axhline(ANSWERED_ACCURACY_TARGET, color=GRAY, lw=1, ls=":")
    axes.axvline(metrics["unsure_below"], color="black", lw=1)
    axes.set_xlabel("smallest confidence that is not unsure")
    axes.set_xlim(min(confidence.min(), metrics["unsure_below"]), 1)
    axes.set_ylim(0, 1.02)
    axes.xaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    axes.grid(alpha=0.3)
    axes.legend(["labelled right, of those above", "above, of all faces"], loc="best")
    axes.set_title(
        f"Unsure below {metrics['unsure_below']:.2f}: {metrics['answered_share']:.0%} of the faces "
        f"above, {metrics['answered_accuracy']:.0%} of these right ({_show_n(metrics)})"
    )
    return save(figure, path)


def plot_history(rows: list[dict], best_epoch: int, path: Path) -> Path:
    """Draw loss, accuracy and learning rate of a training run over its epochs.

    The first epoch of each image size is marked, and the best one, whose weights were kept.
    """
    figure = Figure(figsize=(WIDTH_INCHES, 8.0), layout="constrained")
    loss, accuracy, rate = figure.subplots(3, 1, sharex=True, height_ratios=(3, 3, 1.4))
    epochs = [row["epoch"] for row in rows]
    mark = "o-" if len(rows) <= 30 else "-"
    loss.plot(epochs, [row["train_loss"] for row in rows], mark, color=ORANGE, label="training")
    losses = [row["validation_loss"] for row in rows]
    loss.plot(epochs, losses, mark, color=BLUE, label="validation")
    loss.set_ylabel("loss")
    loss.legend(fontsize=11)
    accuracies = [row["validation_accuracy"] for row in rows]
    best = epochs.index(best_epoch)
    accuracy.plot(epochs, accuracies, mark, color=BLUE)
    accuracy.plot(epochs[best], accuracies[best], "*", color=VERMILION, ms=14)
    accuracy.yaxis.set_major_formatter(PercentFormatter(xmax=1))
    accuracy.set_ylabel("validation accuracy")
    rate.plot(epochs, [row["learning_rate"] for row in rows], mark, color=GREEN)
    rate.set_ylabel("learning rate")
    rate.set_xlabel("epoch")
    rate.xaxis.set_major_locator(MaxNLocator(integer=True))
    loss.set_title(f"Best: {accuracies[best]:.2%} of validation right after epoch {epochs[best]}")
    for axes in (loss, accuracy, rate):
        axes.grid(alpha=0.3)
    for size, row in {row["image_size"]: row for row in reversed(rows)}.items():
        accuracy.axvline(row["epoch"], color=GRAY, lw=1, ls=":")
        above = {"xycoords": ("data", "axes fraction"), "ha": "center", "color": GRAY}
        accuracy.annotate(f"{size} px", (row["epoch"], 1.02), **above)
    return save(figure, path)


def plot_top_losses(
    split: datasets.Dataset, probabilities: np.ndarray, labels: np.ndarray, path: Path
) -> Path:
    """Draw the images whose label has the least probability, with their file names.

    They show people's faces, so that they are never pushed (`card.PLOTS` lists what is).
    """
    of_label = probabilities[np.arange(len(labels)), labels]
    worst = np.argsort(of_label, kind="stable")[:TOP_LOSSES_SHOWN].tolist()
    rows = math.ceil(len(worst) / TOP_LOSSES_A_ROW)
    figure = Figure(figsize=(WIDTH_INCHES, 0.5 + 2.1 * rows), layout="constrained")
    figure.suptitle(f"The {len(worst)} images with the highest loss", fontsize=12)
    for place, i in enumerate(worst, start=1):
        image, predicted = split[i], probabilities[i].argmax()
        caption = (
            f"{image['file']}\nlabelled {LABELS[labels[i]]} {of_label[i]:.1%}\n"
            f"predicted {LABELS[predicted]} {probabilities[i, predicted]:.0%}"
        )
        axes = figure.add_subplot(rows, TOP_LOSSES_A_ROW, place)
        axes.set_axis_off()
        axes.imshow(image["image"].convert("RGB"), interpolation="nearest")
        axes.text(0.5, -0.04, caption, transform=axes.transAxes, ha="center", va="top", fontsize=8)
    return save(figure, path)


def _show_n(metrics: dict) -> str:
    return f"n = {metrics['n']:,}"


def save(figure: Figure, path: Path) -> Path:
    """Write a figure as PNG at the card's resolution, making its folder; return the path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=DPI)
    return path


def table(header: Iterable[str], rows: Iterable[Iterable[object]]) -> str:
    """Return a Markdown table; columns of numbers are aligned right, bars in cells escaped."""
    header = list(header)
    cells = [[str(cell).replace("|", "\\|") for cell in row] for row in rows]
    columns = zip(*cells, strict=True) if cells else [()] * len(header)
    rule = ["---:" if column and all(map(_is_number, column)) else "---" for column in columns]
    return "\n".join(f"| {' | '.join(line)} |" for line in (header, rule, *cells))


def _is_number(cell: str) -> bool:
    return not cell or cell.lstrip("-")[:1].isdigit()
