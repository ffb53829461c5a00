"""The study: architectures x lengths, each trained with the same recipe, in one table.

Every cell is a run of its own with its own schedule, in a process of its own: a length is not read
off a longer run, one that fails does not take the others with it, and its peak memory is its own.
Each architecture learns at the rate that its own range test suggests (`lr_finder.py`), or at a
given one: the rate at which one learns lets another diverge. A finished cell is skipped, so the
study can be stopped and started again. `comparison_report.py` writes the table and the plots. Run
it with `train_hub.py compare`.
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

from emotion_detective import data
from emotion_detective.core.checkpoint import write_whole
from emotion_detective.core.hub import display_name, first_line
from emotion_detective.evaluation.metrics import compute_metrics
from emotion_detective.study import comparison_report, lr_finder
from emotion_detective.training import loop, machine, networks, run_folder
from emotion_detective.training.recipe import FRESH, TrainConfig

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
# The milliseconds of a face are the median of so many forward passes.
TIMED_PASSES = 30


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
    """Run every missing cell and write table and plots into `output`; return a row for each cell.

    An architecture that is not in `rates` learns at the rate that its range test suggests. The row
    of a cell that failed has its `error`, and the next call tries it again.

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
            found = _finish(Cell(config, source, output / f"{architecture}-find-lr"), find_rate)
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
                row = _finish(cell, run_cell)
            if "error" not in row:
                seconds = _time_a_face(architecture, config.image_sizes[-1])
                row["ms_a_face_cpu"] = 1000 * seconds
            rows.append(row)
            comparison_report.write(rows, base, source, output)
    return rows


def _finish(cell: Cell, work: Callable[[Cell], dict]) -> dict:
    """Return the cell's row from disk, or have `work` make it in a fresh process."""
    path = cell.folder / RESULT_FILE
    if path.is_file():
        row = json.loads(path.read_text())
        now = json.loads(json.dumps(_describe_origin(cell)))
        if all(row[name] == now[name] for name in now):
            return row
        raise ValueError(
            f"{cell.folder} holds a run with other options, data or hardware: name another "
            "--output, or delete it."
        )
    logger.info("%s", cell.folder.name)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as pool:
        try:
            return pool.submit(work, cell).result()
        except Exception as error:  # whatever it is, the other cells are not lost
            logger.error("%s failed: %s", cell.folder.name, error)
            config = cell.config
            error = first_line(error)
            return {"architecture": config.architecture, "epochs": config.epochs, "error": error}


def find_rate(cell: Cell) -> dict:
    """Run the range test of one architecture; return and write the rate to take."""
    test = lr_finder.find_lr(cell.config, data.load(cell.source))
    lr_finder.write(test, cell.folder)
    return _write_row(cell, {"learning_rate": test.suggestions[lr_finder.DEFAULT_SUGGESTION]})


def run_cell(cell: Cell) -> dict:
    """Train one cell, from where it was stopped; return and write its row."""
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
        "peak_memory_gib": _measure_peak_bytes() / 2**30,
        "million_parameters": sum(p.numel() for p in network.parameters()) / 1e6,
        "history": history,
    }
    row = _write_row(cell, row)
    run_folder.remove_state(cell.folder)
    return row


def _write_row(cell: Cell, row: dict) -> dict:
    """Write the row of a finished cell; return it as the next call reads it."""
    text = json.dumps(_describe_origin(cell) | row, indent=2)
    write_whole(cell.folder / RESULT_FILE, lambda fresh: fresh.write_text(text + "\n"))
    return json.loads(text)


def _describe_origin(cell: Cell) -> dict:
    """Return what a finished cell must share with the requested one to be taken for it."""
    return {
        "architecture": cell.config.architecture,
        "config": dataclasses.asdict(cell.config),
        "dataset": display_name(cell.source),
        "hardware": machine.describe_hardware(),
    }


def _measure_peak_bytes() -> int:
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


@cache
@torch.inference_mode()
def _time_a_face(architecture: str, image_size: int) -> float:
    """Return the seconds of one face on a CPU, which no length of training changes."""
    network = networks.create_network(architecture).eval()
    face = torch.zeros(1, 3, image_size, image_size)
    times = []
    for _ in range(TIMED_PASSES):
        begin = time.perf_counter()
        network(face)
        times.append(time.perf_counter() - begin)
    return float(np.median(times))
