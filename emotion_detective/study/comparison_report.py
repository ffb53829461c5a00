"""The rows of a study -> a table in Markdown, the same as JSON, and two plots.

`comparison.py` writes them anew after each row.
"""

import json
from itertools import cycle
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure

from emotion_detective.data import display_name
from emotion_detective.evaluation import plots
from emotion_detective.training import loop, machine
from emotion_detective.training.recipe import TrainConfig

# Key of a row -> heading and format in the table.
COLUMNS = {
    "architecture": ("architecture", "{}"),
    "epochs": ("epochs", "{}"),
    "learning_rate": ("learning rate", "{:.1e}"),
    "train_loss": ("training loss", "{:.3f}"),
    "validation_loss": ("validation loss", "{:.3f}"),
    "accuracy": ("accuracy", "{:.1%}"),
    "macro_f1": ("macro-F1", "{:.1%}"),
    "minutes": ("minutes", "{:.1f}"),
    "images_per_second": ("images/s", "{:.0f}"),
    "million_parameters": ("million parameters", "{:.1f}"),
    "ms_a_face_cpu": ("ms a face, CPU", "{:.1f}"),
    "error": ("error", "{}"),
}


def write(rows: list[dict], base: TrainConfig, source: str, output: Path) -> None:
    """Write `comparison.{md,json}` and the plots of the rows without an error into `output`."""
    result = {
        "dataset": display_name(source),
        "init": base.init,
        "limit": base.limit,
        "seed": base.seed,
        "hardware": machine.describe_hardware(),
        "versions": machine.describe_versions(),
        "rows": rows,
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "comparison.json").write_text(json.dumps(result, indent=2) + "\n")
    (output / "comparison.md").write_text("\n".join(_render(result)) + "\n", encoding="utf-8")
    done = [row for row in rows if "error" not in row]
    if done:
        _plot_accuracy(done, output / "accuracy_against_time.png")
        _plot_losses(done, output / "losses.png")


def _render(result: dict) -> list[str]:
    images = f"{result['limit']} images of train" if result["limit"] else "all of train"
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    rows = result["rows"]
    columns = {name: column for name, column in COLUMNS.items() if any(name in row for row in rows)}
    cells = [
        [pattern.format(row[name]) if name in row else "" for name, (_, pattern) in columns.items()]
        for row in rows
    ]
    return [
        "# Architectures and lengths",
        "",
        f"{result['dataset']}, {images}, from {result['init']} weights, seed {result['seed']}; "
        f"measured on validation. {result['hardware']}; {versions}.",
        "",
        plots.table([heading for heading, _ in columns.values()], cells),
    ]


def _plot_accuracy(rows: list[dict], path: Path) -> Path:
    figure = Figure(figsize=(plots.WIDTH_INCHES, 4.5), layout="constrained")
    axes = figure.subplots()
    names = dict.fromkeys(row["architecture"] for row in rows)
    colors = (plots.BLUE, plots.VERMILION, plots.GREEN, plots.ORANGE, plots.GRAY)
    for name, color, marker in zip(names, cycle(colors), cycle("osD^v"), strict=False):
        mine = sorted((r for r in rows if r["architecture"] == name), key=lambda r: r["minutes"])
        minutes = [row["minutes"] for row in mine]
        accuracies = [100 * row["accuracy"] for row in mine]
        axes.plot(minutes, accuracies, marker=marker, color=color, label=name)
        for row, x, y in zip(mine, minutes, accuracies, strict=True):
            below = dict(xytext=(6, -12), textcoords="offset points")  # clear of rising lines
            axes.annotate(f"{row['epochs']} epochs", (x, y), **below)
    axes.set(xlabel="training time, minutes", ylabel="validation accuracy, %")
    axes.margins(0.15)
    axes.legend()
    return plots.save(figure, path)


def _plot_losses(rows: list[dict], path: Path) -> Path:
    names = list(dict.fromkeys(row["architecture"] for row in rows))
    figure = Figure(figsize=(plots.WIDTH_INCHES, 3 * len(names)), layout="constrained")
    for axes, name in zip(figure.subplots(len(names), squeeze=False)[:, 0], names, strict=True):
        mine = [row for row in rows if row["architecture"] == name]
        for row, shade in zip(mine, np.linspace(0.4, 1.0, len(mine)), strict=True):
            epochs = [point["epoch"] for point in row["history"]]
            for key, color in (("train_loss", plots.BLUE), ("validation_loss", plots.VERMILION)):
                losses = [point[key] for point in row["history"]]
                label = f"{key.replace('_', ' ')}, {row['epochs']} epochs"
                axes.plot(epochs, losses, ".-", color=color, alpha=shade, label=label)
        axes.axhline(loop.GUESSING_LOSS, color=plots.GRAY, linestyle=":", label="guessing")
        axes.set(title=name, xlabel="epoch", ylabel="loss")
        axes.legend(fontsize=7, ncols=2)
    return plots.save(figure, path)
