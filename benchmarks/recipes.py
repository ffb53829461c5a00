"""The training runs in a table: what each changes to the one before, and what it gains.

    python benchmarks/recipes.py runs/first runs/second

Reads folders of `train_hub.py train` in the order they were made, adds their rows to `recipes.json`
and writes the whole table to `recipes.md`; a run of the same name is replaced. Recipes are chosen
on validation, which is all that the table shows, and never on test.
"""

import argparse
import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from statistics import mean, stdev

import report

from emotion_detective.core.checkpoint import METRICS_FILE, read_metrics
from emotion_detective.evaluation.plots import table
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run_folder import HISTORY_FILE, best_row

RESULT = Path(__file__).with_suffix("")
DEFAULTS = dataclasses.asdict(TrainConfig()) | {"earlier_runs": 0}
NOTHING = "nothing"


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="DIR")
    parser.add_argument("--note", default="", help="what else changed, in the code say")
    asked = parser.parse_args()
    runs = report.read_known(RESULT, "runs")
    for folder in asked.runs:
        runs[folder.name] = describe(folder) | {"note": asked.note}
    report.write(RESULT, {"runs": runs}, markdown(runs))


def describe(folder: Path) -> dict:
    """Return the values of a finished run for its row.

    Raises:
        ValueError: the folder lacks the files of a finished run.
    """
    metrics = read_metrics(folder)
    record = metrics.get("training")
    if record is None or not (folder / HISTORY_FILE).is_file():
        raise ValueError(f"{folder} has no {METRICS_FILE} of a finished run, or no {HISTORY_FILE}.")
    rows = [json.loads(line) for line in (folder / HISTORY_FILE).read_text().splitlines()]
    best = best_row(rows)
    at_its_size = [row for row in rows if row["image_size"] == best["image_size"]]
    return {
        # The name of `init` does not tell which weights it held; the number of runs behind it does.
        "config": record["config"] | {"earlier_runs": len(record.get("earlier", []))},
        "epochs": record["epochs"],
        "image_size": best["image_size"],
        "validation_accuracy": metrics["validation"]["accuracy"],
        "validation_loss": metrics["validation"]["nll"],
        "train_loss": best["train_loss"],
        "images_per_second": max(row["images_per_second"] for row in at_its_size),
        "minutes": sum(row["seconds"] for row in rows) / 60,
        "hardware": record["hardware"],
        "versions": record["versions"],
        "date": record["date"],
    }


def markdown(runs: dict[str, dict]) -> Iterator[str]:
    """Yield the table's lines, the runs in the order they were added."""
    yield "# Recipes"
    yield ""
    yield (
        "Accuracy and loss of the finished checkpoint on validation: the averaged weights (EMA) of "
        "the best epoch, calibrated. Images a second are those of the fastest epoch at the last "
        "size: others shared the processor with other work."
    )
    yield ""
    header = ["run", "what changed", "validation accuracy", "validation loss", "training loss"]
    header += ["epochs", "pixels", "images/s", "minutes", "hardware", "date"]
    rows, before = [], DEFAULTS
    for name, run in runs.items():
        changed = [changes(before, run["config"]), *([run["note"]] if run.get("note") else [])]
        rows.append([name, "; ".join(changed), *cells(run)])
        before = run["config"]
    yield table(header, rows)
    yield ""
    yield (
        "What changed is told against the row above, and of the first row against the defaults of "
        "`TrainConfig`; earlier_runs is how many runs made the weights it went on from. One "
        "setting at a time: [ablations.md](ablations.md). A training loss is that of the recipe's "
        "own targets: it compares only between runs with the same augmentation, smoothing and "
        "votes."
    )
    for names, accuracies in repeated(runs).items():
        epochs = runs[names[0]]["epochs"]
        yield ""
        yield (
            f"{' and '.join(names)} differ in nothing but the seed of these {epochs} epochs: "
            f"{mean(accuracies):.2%} of validation on average, with a standard deviation of "
            f"{100 * stdev(accuracies):.2f} points."
        )


def repeated(runs: dict[str, dict]) -> dict[tuple[str, ...], list[float]]:
    """Return names and validation accuracies of the runs that are one recipe with several seeds."""
    recipes: dict[str, dict[str, float]] = {}
    for name, run in runs.items():
        recipe = json.dumps(run["config"] | {"seed": None}, sort_keys=True)
        recipes.setdefault(recipe, {})[name] = run["validation_accuracy"]
    several = [found for found in recipes.values() if len(found) > 1]
    return {tuple(found): list(found.values()) for found in several}


def cells(run: dict) -> list[str]:
    """Return the cells of a run's row behind its name and changes."""
    return [
        f"{run['validation_accuracy']:.1%}",
        f"{run['validation_loss']:.3f}",
        f"{run['train_loss']:.3f}",
        str(run["epochs"]),
        str(run["image_size"]),
        f"{run['images_per_second']:.0f}",
        f"{run['minutes']:.0f}",
        run["hardware"],
        run["date"],
    ]


def changes(before: dict, config: dict) -> str:
    """Return the settings of `config` that differ from `before`, and those that it lacks.

    A setting that only one of them has, and that is off, changes nothing.
    """
    before, config = json.loads(json.dumps(before)), json.loads(json.dumps(config))
    different = [
        f"{name} {'-'.join(map(str, value)) if isinstance(value, list) else value}"
        for name, value in config.items()
        if (value != before[name] if name in before else value)
    ]
    different += [f"no {name}" for name in before if name not in config and before[name]]
    return ", ".join(different) or NOTHING


if __name__ == "__main__":
    main()
