"""Accuracy of packages that ship weights, on FER2013's own crops.

Each classifier gets the crops with its own preprocessing and without its face detector (which finds
few faces in 48x48 pictures: the comparison would be unfair). The prediction is the most probable of
the six emotions; `disgusted` images are left out. "Clean" is PrivateTest without exact duplicates
of other splits. Each package runs in an environment of its own (peers_apart.py), and the table
keeps the rows of earlier calls:

    python -m venv peers && peers/bin/pip install fer==25.10.3 "setuptools<81"
    python benchmarks/peers.py --data emotion-detection-fer.zip --python peers/bin/python \
        --peers fer fer-hdf5

Our own row: `python train_hub.py evaluate --model DIR --data SRC --split test --json`.
"""

import json
import subprocess
import tempfile
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import datasets
import numpy as np
import report

from emotion_detective import LABELS, data
from emotion_detective.evaluation import metrics
from emotion_detective.evaluation.plots import table

SCRIPT = Path(__file__).with_name("peers_apart.py")
PEERS = ("fer", "fer-hdf5", "what-the-face", "facial-emotion-recognition")


def measure(name: str, python: str, test: datasets.Dataset) -> dict:
    """Return the row of a peer, which the interpreter `python` has installed."""
    with tempfile.TemporaryDirectory() as folder:
        crops, scores = Path(folder) / "crops.npy", Path(folder) / "scores.npy"
        np.save(crops, np.stack([np.asarray(image.convert("L")) for image in test["image"]]))
        command = [python, SCRIPT, "crops", name, crops, scores]
        package = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
        predicted = np.eye(len(LABELS))[np.load(scores).argmax(axis=1)]
    found = metrics.split_metrics(predicted, test["label"], test["clean"], unsure_below=0.0)
    results = {"all": _kept(found), "clean": _kept(found["clean"])}
    return json.loads(package) | {"date": date.today().isoformat(), "results": results}


def _kept(found: dict) -> dict:
    recall = {label: scores["recall"] for label, scores in found["per_class"].items()}
    names = ("n", "accuracy", "accuracy_interval", "macro_f1")
    return {name: found[name] for name in names} | {"recall": recall}


def markdown(result: dict) -> Iterator[str]:
    """Yield the page: one line a peer, the most accurate first."""
    yield "# Peers on FER2013"
    yield ""
    yield (
        "Accuracy / macro-F1 over six classes, in percent, from `python benchmarks/peers.py --data "
        "emotion-detection-fer.zip`. Protocol: the script's first lines."
    )
    yield ""
    rows = sorted(result["peers"].items(), key=lambda row: -row[1]["results"]["all"]["accuracy"])
    n, n_clean = (f"{found['n']:,}" for found in rows[0][1]["results"].values())
    header = ["package", f"PrivateTest, n = {n} (95% interval)", f"clean, n = {n_clean}"]
    header += [f"recall on PrivateTest: {' / '.join(LABELS)}", "measured"]
    yield table(header, [_cells(name, row) for name, row in rows])


def _cells(name: str, row: dict) -> list[str]:
    private, clean = row["results"].values()
    low, high = private["accuracy_interval"]
    return [
        f"{name} ({row['package']} {row['version']})",
        f"**{_pair(private)}** ({100 * low:.1f} to {100 * high:.1f})",
        _pair(clean),
        " / ".join(f"{100 * private['recall'][label]:.0f}" for label in LABELS),
        row["date"],
    ]


def _pair(found: dict) -> str:
    return f"{100 * found['accuracy']:.2f} / {100 * found['macro_f1']:.2f}"


def main() -> None:
    """Measure the chosen peers and add them to the table."""
    parser = report.parser(__file__, __doc__, "data")
    parser.add_argument("--peers", nargs="+", choices=PEERS, required=True)
    parser.add_argument("--python", required=True, help="interpreter that has their packages")
    asked = parser.parse_args()
    test = data.load(asked.data)["test"]
    result = {"peers": report.read_known(asked.output, "peers")}
    for name in asked.peers:
        result["peers"][name] = measure(name, asked.python, test)
        report.write(asked.output, result, markdown(result))


if __name__ == "__main__":
    main()
