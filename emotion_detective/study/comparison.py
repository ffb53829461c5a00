"""The study: architectures x lengths, each trained with the same recipe, in one table.

Every cell is a run of its own with its own schedule: a length is not read off a longer run, and one
that fails does not take the others with it. Each architecture learns at the rate that its own range
test suggests (`lr_finder.py`), or at a given one: the rate at which one learns lets another
diverge. A finished cell is kept, so the study can be stopped and started again.
`comparison_report.py` writes the table and the plots. Run it with `train_hub.py compare`.
"""

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path

import datasets
import numpy as np
import torch

from emotion_detective import data
from emotion_detective.core.checkpoint import write_whole
from emotion_detective.core.hub import first_line
from emotion_detective.evaluation.metrics import compute_metrics
from emotion_detective.study import comparison_report, lr_finder
from emotion_detective.training import duration, loop, machine, networks, run_folder
from emotion_detective.training.recipe import FRESH, TrainConfig
from emotion_detective.training.run import create_accelerator

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
# The milliseconds of a face are the median of so many forward passes.
TIMED_PASSES = 30


def compare(
    base: TrainConfig,
    architectures: list[str],
    lengths: list[int],
    parts: datasets.DatasetDict,
    source: str,
    output: Path,
    rates: dict[str, float],
) -> list[dict]:
    """Run every missing cell and write table and plots into `output`; return a row for each cell.

    `parts` were loaded from `source`. An architecture that is not in `rates` learns at the rate
    that its range test suggests. The row of a cell that failed has its `error`, and the next call
    tries it again.
    """
    if base.init not in FRESH:
        raise ValueError(
            f"The checkpoint {base.init} has one architecture, its own: compare from --init "
            f"{' or '.join(FRESH)}."
        )
    base = dataclasses.replace(base, drop_path=0.0)  # not every architecture has it
    origin = {"dataset": data.display_name(source), "hardware": machine.describe_hardware()}
    for architecture in architectures:
        missing = [
            n for n in lengths if not (output / f"{architecture}-{n}/{RESULT_FILE}").is_file()
        ]
        _announce(dataclasses.replace(base, architecture=architecture), sum(missing), parts)
    rows = []
    for architecture in architectures:
        config = dataclasses.replace(base, architecture=architecture)
        if architecture in rates:
            found = {"learning_rate": rates[architecture]}
        else:
            folder = output / f"{architecture}-find-lr"
            found = _keep(folder, config, origin, partial(find_rate, parts))
        for epochs in lengths:
            row = {"architecture": architecture, "epochs": epochs} | found
            if "error" not in found:
                of_length = dataclasses.replace(
                    config,
                    epochs=epochs,
                    learning_rate=found["learning_rate"],
                    frozen_epochs=min(base.frozen_epochs, epochs - 1),
                )
                folder = output / f"{architecture}-{epochs}"
                row |= _keep(folder, of_length, origin, partial(train_cell, parts))
            rows.append(row)
            comparison_report.write(rows, base, source, output)
    return rows


def _announce(config: TrainConfig, epochs: int, parts: datasets.DatasetDict) -> None:
    """Log how long so many epochs will take, beside the range test."""
    counts = [min(len(parts[name]), config.limit or 10**9) for name in ("train", "validation")]
    with suppress(ValueError):  # the table will say what is wrong with the architecture
        if epochs:
            config = dataclasses.replace(config, epochs=epochs)
            seconds = duration.estimate(config, create_accelerator(config), *counts)
            logger.info(
                "%s, %d epochs: %s", config.architecture, epochs, duration.describe(seconds)
            )


def _keep(
    folder: Path, config: TrainConfig, origin: dict, work: Callable[[TrainConfig, Path], dict]
) -> dict:
    """Return the row that `folder` keeps, or have `work` make it; a failure is a row too.

    A kept row must come from the same recipe, data and hardware.
    """
    path = folder / RESULT_FILE
    origin = json.loads(json.dumps({"config": config.recorded()} | origin))
    if path.is_file():
        row = json.loads(path.read_text())
        if any(row[name] != value for name, value in origin.items()):
            raise ValueError(
                f"{folder} holds a run with other options, data or hardware: name another "
                "--output, or delete it."
            )
        return row
    logger.info("%s", folder.name)
    try:
        row = origin | work(config, folder)
    except Exception as error:  # whatever it is, the other cells are not lost
        logger.error("%s failed: %s", folder.name, error)
        return {"error": first_line(error)}
    write_whole(path, lambda fresh: fresh.write_text(json.dumps(row, indent=2) + "\n"))
    run_folder.remove_state(folder)
    return row


def find_rate(parts: datasets.DatasetDict, config: TrainConfig, folder: Path) -> dict:
    """Run the range test of one architecture; return the rate to take, or else the recipe's."""
    test = lr_finder.find_lr(config, parts)
    lr_finder.write(test, folder)
    if test.suggestion is None:
        logger.warning("%s It learns at the recipe's %.1e.", test.problem, test.recipe_rate)
    return {"learning_rate": test.suggestion or test.recipe_rate}


def train_cell(parts: datasets.DatasetDict, config: TrainConfig, folder: Path) -> dict:
    """Train one cell, from where it was stopped; return what the table says of it."""
    resume = (folder / run_folder.CONFIG_FILE).is_file()
    network, history = loop.train(config, parts, folder, resume=resume)
    logits, labels = loop.predict_logits(network, parts["validation"], config.image_sizes[-1])
    metrics = compute_metrics(logits.softmax(dim=1).numpy(), labels.numpy(), 0.0)
    return {
        "learning_rate": config.learning_rate,
        "train_loss": history[-1]["train_loss"],
        "validation_loss": metrics["nll"],
        "accuracy": metrics["accuracy"],
        "accuracy_interval": metrics["accuracy_interval"],
        "macro_f1": metrics["macro_f1"],
        "minutes": sum(row["seconds"] for row in history) / 60,
        "images_per_second": float(np.mean([row["images_per_second"] for row in history])),
        "million_parameters": sum(p.numel() for p in network.parameters()) / 1e6,
        "ms_a_face_cpu": 1000 * _time_a_face(config.architecture, config.image_sizes[-1]),
        "history": history,
    }


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
