"""The worth of each setting of the recipe: short runs that differ from a base in one setting.

    python benchmarks/ablations.py --data emotion-detection-fer.zip --votes ferplus_votes.csv \
        --output runs/ablations

All start from the same random weights and see half of the training images with the same seed; one
run has another seed. Only validation is evaluated, never test. A finished run is not repeated, a
stopped one goes on, and the table keeps the rows of earlier calls.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import datasets
import numpy as np
import report
import torch
from recipes import changes
from safetensors.torch import load_file

from emotion_detective import data
from emotion_detective.core.checkpoint import write_whole
from emotion_detective.evaluation.plots import table
from emotion_detective.training import loop, run_folder
from emotion_detective.training.recipe import TrainConfig

BASE = TrainConfig(
    epochs=3,
    batch_size=64,
    learning_rate=1e-3,
    weight_decay=0.05,
    warmup_share=0.1,
    image_sizes=(48,),
    image_size_shares=(1.0,),
    size_spread=0.0,
    augmentation=0.7,
    late_augmentation=0.3,
    drop_path=0.0,
    ema_decay=0.998,
    teacher=None,
    limit=13809,
)
# Folder of the run -> its changes.
CHANGES = {
    "base": {},
    "seed1": {"seed": 1},
    "teacher50": {"teacher": str(report.EMBEDDED_MODEL)},
    "rate2e-3": {"learning_rate": 2e-3},
    "batch128": {"batch_size": 128},
    "augmentation100": {"augmentation": 1.0},
    "augmentation40": {"augmentation": 0.4},
    "spread17": {"size_spread": 0.17},
    "droppath10": {"drop_path": 0.1},
    "votes0": {"vote_share": 0.0},
    "pixels64": {"image_sizes": (64,)},
}
ROW_FILE = "row.json"
RESULT = Path(__file__).with_suffix("")


def run(config: TrainConfig, parts: datasets.DatasetDict, folder: Path) -> dict:
    """Train one of the runs, or read its row from `folder`; return the row.

    "hits" is 1 for each validation image that is answered with its label. "raw_accuracy" belongs to
    the weights after the last epoch, all other values to their moving average (EMA).

    Raises:
        ValueError: `folder` holds a run of another recipe.
    """
    path = folder / ROW_FILE
    recorded = config.recorded()
    if path.is_file():
        row = json.loads(path.read_text())
        if row["config"] != json.loads(json.dumps(recorded)):
            raise ValueError(f"{folder} holds a run of another recipe: name another --output.")
        return row
    resume = (folder / run_folder.CONFIG_FILE).is_file()
    network, history = loop.train(config, parts, folder, resume=resume)
    hits = _hits(network, parts["validation"], config)
    (state,) = folder.glob(f"{run_folder.STATE_PREFIX}*")
    network.load_state_dict(load_file(state / "model.safetensors"))
    raw_hits = _hits(network, parts["validation"], config)
    row = {
        "config": recorded,
        "validation_loss": run_folder.best_row(history)["validation_loss"],
        "raw_accuracy": raw_hits.float().mean().item(),
        "images_per_second": max(epoch["images_per_second"] for epoch in history),
        "minutes": sum(epoch["seconds"] for epoch in history) / 60,
        "hits": hits.int().tolist(),
    }
    write_whole(path, lambda fresh: fresh.write_text(json.dumps(row)))
    run_folder.remove_state(folder)
    return json.loads(path.read_text())


def _hits(network: torch.nn.Module, split: datasets.Dataset, config: TrainConfig) -> torch.Tensor:
    logits, labels = loop.predict_logits(network, split, config.image_sizes[-1])
    return logits.argmax(dim=1) == labels


def compared(row: dict, base: dict) -> dict:
    """Return the row without its hits: accuracy, difference to `base` and its standard error.

    Both answered the same images, which makes the difference surer than either accuracy.
    """
    hits, base_hits = np.array(row["hits"]), np.array(base["hits"])
    difference = hits - base_hits
    return {name: value for name, value in row.items() if name != "hits"} | {
        "validation_accuracy": hits.mean(),
        "difference": difference.mean(),
        "standard_error": difference.std() / np.sqrt(len(difference)),
    }


def markdown(result: dict) -> Iterator[str]:
    """Yield the lines of the table, the first row being what the others are compared with."""
    yield from report.opening("Ablations", result)
    runs = result["runs"]
    rows = list(runs.values())
    base = rows[0]["config"]
    yield (
        f"Each row is {base['epochs']} epochs at {base['image_sizes'][0]} px on {base['limit']} "
        "training images from random weights, and changes one setting of the first; `--only` with "
        "its name makes it. Validation accuracy by the averaged weights (EMA), the difference to "
        "the first row in points with its standard error, and the accuracy of the weights as they "
        "are after the last epoch. Short runs tell what helps soon: regularisation "
        "and averaging, which pay where a network has seen its images often, look worse here than "
        "in a long run. Images a second were counted beside other work on the processor: they do "
        "not compare."
    )
    yield ""
    header = ["run", "what changed", "validation accuracy", "difference", "without EMA"]
    header += ["validation loss", "images/s"]
    yield table(
        header, [[name, changes(base, row["config"]), *cells(row)] for name, row in runs.items()]
    )
    yield ""
    gain = np.mean([row["validation_accuracy"] - row["raw_accuracy"] for row in rows])
    yield f"Averaging the weights changes the accuracy by {100 * gain:+.2f} points on average."


def cells(row: dict) -> list[str]:
    """Return the cells of a row behind what it changes."""
    return [
        f"{row['validation_accuracy']:.1%}",
        f"{100 * row['difference']:+.1f} ± {100 * row['standard_error']:.1f}",
        f"{row['raw_accuracy']:.1%}",
        f"{row['validation_loss']:.3f}",
        f"{row['images_per_second']:.0f}",
    ]


def main() -> None:
    """Train what is missing and write the table after every run."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", **report.OPTIONS["data"])
    parser.add_argument("--votes", required=True, metavar="CSV", help="FER+ votes")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="for the runs")
    parser.add_argument(
        "--only", nargs="+", choices=CHANGES, default=list(CHANGES), help="besides base"
    )
    asked = parser.parse_args()
    parts = data.load(asked.data)
    packages = ("accelerate", "datasets")
    images = f"train and validation of {Path(asked.data).name}"
    result = report.origin(images, BASE.seed, packages)
    rows = {}
    known = report.read_known(RESULT, "runs")
    for name in dict.fromkeys(["base", *asked.only]):
        config = dataclasses.replace(BASE, votes=asked.votes, **CHANGES[name])
        rows[name] = run(config, parts, asked.output / name)
        base = next(iter(rows.values()))
        before = known["base"]["config"] if known else {}
        # A setting that the recipe has no more was off in the base.
        if any(before.get(setting) != value for setting, value in base["config"].items()):
            known = {}
        result["runs"] = known | {name: compared(row, base) for name, row in rows.items()}
        report.write(RESULT, result, markdown(result))


if __name__ == "__main__":
    main()
