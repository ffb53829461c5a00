"""The study: architectures x lengths, each trained with the same recipe, in one table.

Every cell is a run of its own with its own schedule, in a process of its own: a length is not read
off a longer run, one that fails does not take the others with it, and its peak memory is its own.
Each architecture learns at the rate that its own range test suggests (`lr_finder.py`), or at one
given for it: the rate at which one learns lets another diverge. What is done is skipped, so the
study can be stopped and started again. Run it with `train_hub.py compare`.
"""

import dataclasses
import json
import logging
import multiprocessing
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from emotion_detective.evaluation import plots
from emotion_detective.evaluation.markdown import table
from emotion_detective.evaluation.metrics import compute_metrics
from emotion_detective.inference import hub
from emotion_detective.inference.checkpoint import write_whole
from emotion_detective.inference.hub import first_line
from emotion_detective.training import data, loop, lr_finder, machine, networks, run_folder
from emotion_detective.training.recipe import FRESH, TrainConfig

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
# Forward passes of one face that the milliseconds are the median of.
TIMED_PASSES = 30
# What this project began with: the same question answered by hand in a fastai notebook, to equal
# accuracy. No other numbers of it are known. fastai's VGG-16 is the one with batch normalisation.
SEED_HOURS = {"alexnet": 4.0, "vgg16": 2.5, "vgg16_bn": 2.5, "resnet50": 1.5}
# What a row holds -> its heading in the table, its format.
COLUMNS = {
    "architecture": ("architecture", "{}"),
    "epochs": ("epochs", "{}"),
    "learning_rate": ("learning rate", "{:.1e}"),
    "train_loss": ("training loss", "{:.3f}"),
    "validation_loss": ("validation loss", "{:.3f}"),
    "error_rate": ("error rate", "{:.1%}"),
    "accuracy": ("accuracy", "{:.1%}"),
    "macro_f1": ("macro-F1", "{:.1%}"),
    "minutes": ("minutes", "{:.1f}"),
    "images_per_second": ("images/s", "{:.0f}"),
    "peak_memory_gib": ("peak memory, GiB", "{:.2f}"),
    "million_parameters": ("million parameters", "{:.1f}"),
    "ms_a_face_cpu": ("ms a face, CPU", "{:.1f}"),
}


@dataclass(frozen=True)
class Cell:
    """One run of the study."""

    config: TrainConfig
    source: str
    folder: Path


def compare(
    base: TrainConfig,
    architectures: list[str],
    lengths: list[int],
    source: str,
    output: Path,
    rates: dict[str, float],
) -> list[dict]:
    """Run every missing cell, write `comparison.{md,json}` and plots into `output`, return rows.

    An architecture that is not in `rates` learns at the one that its range test suggests. A cell
    that failed has its `error` in its row and is tried again by the next call.

    Raises:
        ValueError: `base` starts from a checkpoint, or `output` holds a run of another recipe.
    """
    if base.init not in FRESH:
        raise ValueError(
            f"The checkpoint {base.init} has one architecture, its own: compare from --init "
            f"{' or '.join(FRESH)}."
        )
    base = dataclasses.replace(base, drop_path=0.0)  # not every architecture has it
    rows = []
    for architecture in architectures:
        config = dataclasses.replace(base, architecture=architecture)
        if architecture in rates:
            found = {"architecture": architecture, "learning_rate": rates[architecture]}
        else:
            found = _result(Cell(config, source, output / f"{architecture}-find-lr"), find_rate)
        for epochs in lengths:
            row = {**found, "epochs": epochs}
            if "error" not in found:
                of_length = dataclasses.replace(
                    config,
                    epochs=epochs,
                    learning_rate=found["learning_rate"],
                    frozen_epochs=min(base.frozen_epochs, epochs - 1),
                )
                cell = Cell(of_length, source, output / f"{architecture}-{epochs}")
                row = _result(cell, run_cell)
            if "error" not in row:
                seconds = _seconds_a_face(architecture, config.image_sizes[-1])
                row["ms_a_face_cpu"] = 1000 * seconds
            rows.append(row)
            _write(rows, base, source, output)
    return rows


def _result(cell: Cell, work: Callable[[Cell], dict]) -> dict:
    """Return the cell's row: the one on disk, or what `work` makes of it in a fresh process."""
    path = cell.folder / RESULT_FILE
    if path.is_file():
        row = json.loads(path.read_text())
        now = json.loads(json.dumps(_origin(cell)))
        if all(row[name] == now[name] for name in now):
            return row
        raise ValueError(
            f"{cell.folder} holds a run with other options, data or hardware: name another "
            "--output, or delete it."
        )
    logger.info("%s", cell.folder.name)
    begin = {"architecture": cell.config.architecture, "epochs": cell.config.epochs}
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        try:
            return pool.submit(work, cell).result()
        except Exception as error:  # whatever it is, the other cells are not lost
            logger.error("%s failed: %s", cell.folder.name, error)
            return {**begin, "error": first_line(error)}


def find_rate(cell: Cell) -> dict:
    """Run the range test of one architecture; return and write the rate to take."""
    test = lr_finder.find_lr(cell.config, data.load(cell.source))
    lr_finder.write(test, cell.folder)
    return _write_row(cell, {"learning_rate": test.suggestions[lr_finder.DEFAULT_SUGGESTION]})


def run_cell(cell: Cell) -> dict:
    """Train one cell, going on where it was stopped; return and write its row."""
    parts = data.load(cell.source)
    resume = (cell.folder / run_folder.CONFIG_FILE).is_file()
    network, history = loop.train(cell.config, parts, cell.folder, resume=resume)
    size = cell.config.image_sizes[-1]
    logits, labels = loop.predict_logits(network, parts["validation"], size)
    metrics = compute_metrics(logits.softmax(dim=1).numpy(), labels.numpy(), 0.0)
    row = {
        "epochs": cell.config.epochs,
        "learning_rate": cell.config.learning_rate,
        "train_loss": history[-1]["train_loss"],
        "validation_loss": metrics["nll"],
        "error_rate": 1 - metrics["accuracy"],
        "accuracy": metrics["accuracy"],
        "accuracy_interval": metrics["accuracy_interval"],
        "macro_f1": metrics["macro_f1"],
        "minutes": sum(row["seconds"] for row in history) / 60,
        "images_per_second": float(np.mean([row["images_per_second"] for row in history])),
        "peak_memory_gib": _peak_memory_bytes() / 2**30,
        "million_parameters": sum(p.numel() for p in network.parameters()) / 1e6,
        "history": history,
    }
    row = _write_row(cell, row)
    run_folder.remove_state(cell.folder)
    return row


def _write_row(cell: Cell, row: dict) -> dict:
    """Write a finished cell's row; return it as the next call will read it."""
    text = json.dumps({"architecture": cell.config.architecture, **_origin(cell), **row}, indent=2)
    write_whole(cell.folder / RESULT_FILE, lambda fresh: fresh.write_text(text + "\n"))
    return json.loads(text)


def _origin(cell: Cell) -> dict:
    """Return what a finished cell must have in common with the one asked for."""
    return {
        "config": dataclasses.asdict(cell.config),
        "dataset": hub.display_name(cell.source),
        "hardware": machine.describe_hardware(),
    }


def _peak_memory_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@cache
@torch.inference_mode()
def _seconds_a_face(architecture: str, image_size: int) -> float:
    """Return how long one face takes, which no length of training changes."""
    network = networks.create_network(architecture).eval()
    face = torch.zeros(1, 3, image_size, image_size)
    times = []
    for _ in range(TIMED_PASSES):
        begin = time.perf_counter()
        network(face)
        times.append(time.perf_counter() - begin)
    return float(np.median(times))


def _write(rows: list[dict], base: TrainConfig, source: str, output: Path) -> None:
    result = {
        "dataset": hub.display_name(source),
        "init": base.init,
        "limit": base.limit,
        "seed": base.seed,
        "hardware": machine.describe_hardware(),
        "versions": machine.describe_versions(),
        "rows": rows,
    }
    output.mkdir(parents=True, exist_ok=True)
    (output / "comparison.json").write_text(json.dumps(result, indent=2) + "\n")
    (output / "comparison.md").write_text("\n".join(_markdown(result)) + "\n")
    done = [row for row in rows if "error" not in row]
    if done:
        _plot_accuracy(done, output / "accuracy_against_time.png")
        _plot_losses(done, output / "losses.png")


def _markdown(result: dict) -> list[str]:
    images = f"{result['limit']} images of train" if result["limit"] else "all of train"
    versions = ", ".join(f"{name} {version}" for name, version in result["versions"].items())
    header = [*(heading for heading, _ in COLUMNS.values()), "hours in the seed"]
    rows = [[*_cells(row), _note(row)] for row in result["rows"]]
    return [
        "# Architectures and lengths",
        "",
        f"{result['dataset']}, {images}, from {result['init']} weights, seed {result['seed']}; "
        f"measured on validation. {result['hardware']}; {versions}.",
        "",
        table(header, rows),
    ]


def _cells(row: dict) -> list[str]:
    return [
        pattern.format(row[name]) if name in row else "" for name, (_, pattern) in COLUMNS.items()
    ]


def _note(row: dict) -> str:
    if "error" in row:
        return f"failed: {row['error']}"
    return str(SEED_HOURS.get(row["architecture"], ""))


def _plot_accuracy(rows: list[dict], path: Path) -> Path:
    figure = Figure(figsize=(plots.WIDTH_INCHES, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, color, marker in _styles(rows):
        mine = sorted((r for r in rows if r["architecture"] == name), key=lambda r: r["minutes"])
        minutes = [row["minutes"] for row in mine]
        accuracies = [100 * row["accuracy"] for row in mine]
        axes.plot(minutes, accuracies, marker=marker, color=color, label=name)
        for row, x, y in zip(mine, minutes, accuracies, strict=True):
            below = dict(xytext=(6, -12), textcoords="offset points")  # clear of rising lines
            axes.annotate(f"{row['epochs']} epochs", (x, y), **below)
    axes.set_xlabel("training time, minutes")
    axes.set_ylabel("validation accuracy, %")
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
        axes.set_title(name)
        axes.set_xlabel("epoch")
        axes.set_ylabel("loss")
        axes.legend(fontsize=7, ncols=2)
    return plots.save(figure, path)


def _styles(rows: list[dict]) -> list[tuple[str, str, str]]:
    names = list(dict.fromkeys(row["architecture"] for row in rows))
    colors = (plots.BLUE, plots.VERMILION, plots.GREEN, plots.ORANGE, plots.GRAY)
    return [(n, colors[i % len(colors)], "osD^v"[i % 5]) for i, n in enumerate(names)]
