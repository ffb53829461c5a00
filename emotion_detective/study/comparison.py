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
import timeit
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
from emotion_detective.training import loop, machine, networks, run_folder
from emotion_detective.training.recipe import FRESH, TrainConfig
from emotion_detective.training.run import create_accelerator

logger = logging.getLogger(__name__)

RESULT_FILE = "result.json"
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
    # Not every architecture can leave blocks out, or takes smaller images than these.
    base = dataclasses.replace(base, drop_path=0.0, size_spread=0.0)
    recipes = [dataclasses.replace(base, architecture=name) for name in architectures]
    for recipe in recipes:
        _announce(recipe, lengths, parts, output)
    origin = {"dataset": data.display_name(source), "hardware": machine.describe_hardware()}
    rows = []
    for recipe in recipes:
        name = recipe.architecture
        if name in rates:
            found = {"learning_rate": rates[name]}
        else:
            found = _keep(output / f"{name}-find-lr", recipe, origin, partial(find_rate, parts))
        for epochs in lengths:
            row = {"architecture": name, "epochs": epochs} | found
            if "error" not in found:
                rate = found["learning_rate"]
                config = dataclasses.replace(recipe, epochs=epochs, learning_rate=rate)
                folder = output / f"{name}-{epochs}"
                row |= _keep(folder, config, origin, partial(train_cell, parts))
            rows.append(row)
            comparison_report.write(rows, base, source, output)
    return rows


def _announce(
    recipe: TrainConfig, lengths: list[int], parts: datasets.DatasetDict, output: Path
) -> None:
    """Log how long the missing runs of an architecture will take, beside the range test."""
    name = recipe.architecture
    missing = [n for n in lengths if not (output / f"{name}-{n}/{RESULT_FILE}").is_file()]
    if not missing:
        return
    counts = [min(len(parts[split]), recipe.limit or 10**9) for split in ("train", "validation")]
    config = dataclasses.replace(recipe, epochs=sum(missing))
    with suppress(Exception):  # the table will say what is wrong with the architecture
        seconds = machine.estimate_run(config, create_accelerator(), *counts)
        logger.info("%s, %d epochs: %s", name, config.epochs, machine.describe_time(seconds))


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
        "train_loss": history[-1]["train_loss"],
        "validation_loss": metrics["nll"],
        "accuracy": metrics["accuracy"],
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
    return float(np.median(timeit.repeat(lambda: network(face), number=1, repeat=TIMED_PASSES)))
