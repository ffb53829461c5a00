"""What `metrics.json` says of the training run that made a checkpoint, under "training".

`train_hub.py train` has it recorded, `export.py` writes it, and the model card tells it: command,
recipe, data, hardware, versions, time, and the same of the runs that this one went on from.
"""

import dataclasses
from datetime import date
from pathlib import Path

import datasets

from emotion_detective import machine, sources
from emotion_detective.checkpoint import read_metrics
from emotion_detective.recipe import TrainConfig
from emotion_detective.run_folder import best_row


def describe_run(
    command: str,
    config: TrainConfig,
    source: str,
    parts: datasets.DatasetDict,
    history: list[dict],
) -> dict:
    """Return the record of a finished run, as plain values without folders of this machine.

    Args:
        command: what was typed.
        source: what `--data` named, of which `parts` were made.
        history: a row an epoch, as `training.train` returns them.
    """
    counts = {split: len(part) for split, part in parts.items()}
    counts["train"] = min(counts["train"], config.limit or counts["train"])
    return {
        "command": command,
        "config": dataclasses.asdict(config) | {"init": _shown_init(config.init)},
        "seed": config.seed,
        "dataset": {"source": sources.display_name(source)} | counts,
        "hardware": machine.describe_hardware(),
        "mixed_precision": machine.mixed_precision(),
        "versions": machine.describe_versions(),
        "seconds": round(sum(row["seconds"] for row in history), 1),
        "epochs": len(history),
        "best_epoch": best_row(history)["epoch"],
        "date": date.today().isoformat(),
        "earlier": _earlier_runs(config.init),
    }


def _shown_init(init: str) -> str:
    """Return `init`, of a folder the name only: its path could pass for a Hub id."""
    return Path(init).name if Path(init).is_dir() else init


def _earlier_runs(init: str) -> list[dict]:
    """Return the records of the runs that made the checkpoint folder `init`, the oldest first."""
    last = read_metrics(init).get("training") if Path(init).is_dir() else None
    return [*last.pop("earlier", []), last] if last else []
