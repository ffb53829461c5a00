"""What single settings of a training run are worth: finished runs, compared image by image.

    python train_hub.py train --data emotion-detection-fer.zip --output runs/plain --epochs 3
    python train_hub.py train --data emotion-detection-fer.zip --output runs/votes --epochs 3 \
        --votes ferplus_votes.csv
    python benchmarks/ablations.py --data emotion-detection-fer.zip runs/plain runs/votes

The first folder is the base, which the others change one setting of. Only validation is evaluated,
never test. The table keeps the rows of other bases, and of the same base if its recipe is the same.
"""

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import report

from emotion_detective import data
from emotion_detective.core.checkpoint import read_metrics
from emotion_detective.core.loading import load_classifier
from emotion_detective.evaluation.plots import table
from emotion_detective.training.export import predict_split
from emotion_detective.training.recipe import TrainConfig

DEFAULTS = dataclasses.asdict(TrainConfig()) | {"init": None}


def measure(folders: list[Path], validation) -> dict[str, dict]:
    """Return a row a run, the base first: its settings, its accuracy and the difference to it.

    All runs predict the same images, so the difference has a smaller standard error than either
    accuracy.
    """
    rows, base = {}, None
    for folder in folders:
        metrics = read_metrics(folder)
        probabilities, labels = predict_split(load_classifier(folder), validation)
        hits = (probabilities.argmax(axis=1) == labels).astype(int)
        base = hits if base is None else base
        rows[folder.name] = {
            "config": metrics["training"]["config"],
            "minutes": metrics["training"]["seconds"] / 60,
            "validation_accuracy": float(hits.mean()),
            "validation_loss": metrics["validation"]["nll"],
            "difference": float((hits - base).mean()),
            "standard_error": float((hits - base).std() / np.sqrt(len(hits))),
        }
    return rows


def changes(before: dict, config: dict) -> str:
    """Return the settings of `config` that differ from `before`, as options of `train`.

    A setting that `before` lacks, and that is off, changes nothing.
    """
    before, config = json.loads(json.dumps([before, config]))  # tuples become lists
    different = {
        name: value
        for name, value in config.items()
        if (value != before[name] if name in before else value)
    }
    words = [f"--{name.replace('_', '-')} {_word(value)}" for name, value in different.items()]
    return " ".join(words) or "nothing"


def _word(value: object) -> str:
    return " ".join(map(str, value)) if isinstance(value, list) else str(value)


def markdown(result: dict) -> Iterator[str]:
    """Yield the lines of one table a base."""
    for title, group in result["groups"].items():
        base = next(iter(group["runs"].values()))["config"]
        yield from report.opening(f"Ablations of {title}", group)
        yield (
            f"Runs of `python train_hub.py train --data {group['source']} "
            f"{group['options']}`, of which each row changes what it names. Accuracy "
            "on validation, the difference to the first row in points with its standard error. "
            "Short runs show what helps soon: regularisation, which pays where a network has seen "
            "its images often, looks worse here than in a long run."
        )
        yield ""
        header = ["run", "what it changes", "validation accuracy", "difference", "loss", "minutes"]
        yield table(header, [_cells(name, base, row) for name, row in group["runs"].items()])
        yield ""


def _cells(name: str, base: dict, row: dict) -> list[str]:
    return [
        name,
        changes(base, row["config"]),
        f"{row['validation_accuracy']:.1%}",
        f"{100 * row['difference']:+.1f} ± {100 * row['standard_error']:.1f}",
        f"{row['validation_loss']:.3f}",
        f"{row['minutes']:.0f}",
    ]


def main() -> None:
    """Compare the runs and write their table beside those of other bases."""
    parser = report.parser(__file__, __doc__, "data")
    parser.add_argument("runs", nargs="+", type=Path, metavar="DIR", help="the base first")
    asked = parser.parse_args()
    source = Path(asked.data).name
    rows = measure(asked.runs, data.load(asked.data)["validation"])
    groups = report.read_known(asked.output, "groups")
    name, base = next(iter(rows.items()))
    known = groups.get(name, {"runs": {}})["runs"]
    known = known if name in known and known[name]["config"] == base["config"] else {}
    groups[name] = report.origin(f"validation of {source}", base["config"]["seed"])
    options = changes(DEFAULTS, base["config"])
    groups[name] |= {"source": source, "options": options, "runs": known | rows}
    report.write(asked.output, {"groups": groups}, markdown({"groups": groups}))


if __name__ == "__main__":
    main()
