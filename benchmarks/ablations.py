"""What each setting of the recipe is worth: short runs that differ from one in a single setting.

    python benchmarks/ablations.py --data emotion-detection-fer.zip --votes ferplus_votes.csv \
        --init CHECKPOINT --output runs/ablations

All go on from the same checkpoint, with the same seed but for the run that shows what another seed
does. Only validation is looked at, never test. A run that is finished is not made again, one that
was stopped goes on, and the table keeps the rows of earlier calls on the same checkpoint.
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
from recipes import changes, known_runs
from safetensors.torch import load_file

from emotion_detective.evaluation.markdown import table
from emotion_detective.inference.checkpoint import write_whole
from emotion_detective.training import data, loop, run_folder
from emotion_detective.training.recipe import TrainConfig

BASE = TrainConfig(
    epochs=2,
    learning_rate=7e-4,
    layer_decay=1.0,
    warmup_share=0.05,
    image_sizes=(48,),
    image_size_shares=(1.0,),
    label_smoothing=0.0,
)
# Folder of the run -> what it changes.
CHANGES = {
    "base": {},
    "seed1": {"seed": 1},
    "votes0": {"vote_share": 0.0},
    "votes50": {"vote_share": 0.5},
    "smoothing10": {"label_smoothing": 0.1},
    "mixup20": {"mixup": 0.2},
    "augmentation40": {"augmentation": 0.4},
    "augmentation120": {"augmentation": 1.2},
    "erasing0": {"erasing": 0.0},
    "pixels32to48": {"image_sizes": (32, 48), "image_size_shares": (0.5, 0.5)},
    "pixels64": {"image_sizes": (64,)},
    "pixels96": {"image_sizes": (96,)},
    "epochs4": {"epochs": 4},
}
ROW_FILE = "row.json"
RESULT = Path(__file__).with_suffix("")


def run(config: TrainConfig, parts: datasets.DatasetDict, votes: Path | str, folder: Path) -> dict:
    """Train one of the runs, or take what an earlier call left in `folder`; return its row.

    "hits" says of each validation image whether its label was named. "raw_accuracy" is that of the
    weights themselves after the last epoch, where the rest is that of their moving average (EMA).

    Raises:
        ValueError: `folder` holds a run of another recipe.
    """
    path = folder / ROW_FILE
    shown_config = dataclasses.asdict(config) | {"init": Path(config.init).name}
    if path.is_file():
        row = json.loads(path.read_text())
        if row["config"] != json.loads(json.dumps(shown_config)):
            raise ValueError(f"{folder} holds a run of another recipe: name another --output.")
        return row
    resume = (folder / run_folder.CONFIG_FILE).is_file()
    network, history = loop.train(config, parts, folder, votes=votes, resume=resume)
    hits = _hits(network, parts["validation"], config)
    (state,) = folder.glob(f"{run_folder.STATE_PREFIX}*")
    network.load_state_dict(load_file(state / "model.safetensors"))
    raw_hits = _hits(network, parts["validation"], config)
    row = {
        "config": shown_config,
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
    if note := result.get("note"):
        yield note
        yield ""
    rows = list(result["runs"].values())
    base = rows[0]["config"]
    yield (
        f"Each row goes on from the checkpoint `{base['init']}` for {base['epochs']} epochs and "
        "changes one setting of the first. Validation accuracy by the averaged weights (EMA), the "
        "difference to the first row in points with its standard error, and the accuracy of the "
        "weights as they are after the last epoch. Short runs tell what helps soon: regularisation "
        "and averaging, which pay where a network has seen its images often, look worse here than "
        "in a long run."
    )
    yield ""
    header = ["what changed", "validation accuracy", "difference", "without EMA"]
    header += ["validation loss", "images/s"]
    yield table(header, [[changes(base, row["config"]), *cells(row)] for row in rows])
    yield ""
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    tried = {
        name
        for row in rows
        for name, value in row["config"].items()
        if name not in known and value != base.get(name)
    }
    if tried:
        yield f"Tried with code that was not kept: {', '.join(sorted(tried))}."
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


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="Kaggle zip, its folder or a Hub dataset id")
    parser.add_argument("--votes", required=True, metavar="CSV", help="FER+ votes")
    parser.add_argument("--init", required=True, help="the checkpoint that all go on from")
    parser.add_argument("--output", required=True, type=Path, metavar="DIR", help="for the runs")
    parser.add_argument(
        "--only", nargs="+", choices=CHANGES, default=list(CHANGES), help="besides base"
    )
    return parser.parse_args()


def main() -> None:
    """Train what is missing and write the table after every run."""
    asked = _parse()
    parts = data.load(asked.data)
    packages = ("accelerate", "datasets")
    images = f"train and validation of {Path(asked.data).name}"
    result = report.origin(report.command(), images, BASE.seed, packages)
    rows = {}
    known = known_runs(RESULT.with_suffix(".json"))
    for name in dict.fromkeys(["base", *asked.only]):
        config = dataclasses.replace(BASE, init=asked.init, **CHANGES[name])
        rows[name] = run(config, parts, asked.votes, asked.output / name)
        base = next(iter(rows.values()))
        before = known["base"]["config"] if known else {}
        # What the recipe has no more was off in the first row.
        if any(before.get(setting) != value for setting, value in base["config"].items()):
            known = {}
        result["runs"] = known | {name: compared(row, base) for name, row in rows.items()}
        report.write(RESULT, result, markdown(result))


if __name__ == "__main__":
    main()
