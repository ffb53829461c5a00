"""What benchmarks share: the command line, medians of times, the origin of a result, its two files.

Import it before `emotion_detective`: it makes the repository's root importable, so that every
benchmark runs as `python benchmarks/NAME.py` from anywhere.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from datetime import date
from pathlib import Path
from statistics import median

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from emotion_detective.evaluation.plots import table
from emotion_detective.training import machine

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED_MODEL = ROOT / "models" / "emotion-detective-resnet50"
PACKAGES = ("torch", "facenet-pytorch", "timm", "pillow")
OPTIONS = {
    "data": dict(required=True, help="Kaggle zip, its folder or a Hub dataset id"),
    "model": dict(default=EMBEDDED_MODEL, help="folder or Hub repository"),
}


def parser(script: str, purpose: str, *options: str) -> argparse.ArgumentParser:
    """Return a parser with those of OPTIONS that are named, and `--output`, beside the script."""
    made = argparse.ArgumentParser(description=purpose.splitlines()[0])
    for name in options:
        made.add_argument(f"--{name}", **OPTIONS[name])
    made.add_argument(
        "--output", type=Path, default=Path(script).with_suffix(""), help="path without a suffix"
    )
    return made


def seconds(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def medians(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each call over `rounds`, after a warm-up round.

    The calls take turns, so that a machine that slows down slows all of them.
    """
    times = [{name: seconds(call) for name, call in calls.items()} for _ in range(rounds + 1)]
    return {name: median(row[name] for row in times[1:]) for name in calls}


def origin(dataset: str, seed: int = 0, packages: tuple[str, ...] = ()) -> dict:
    """Return where a result comes from: command, data, hardware, versions, date.

    `packages` are those that decide the result besides PACKAGES.
    """
    return {
        "command": describe_command(),
        "dataset": dataset,
        "seed": seed,
        "hardware": machine.describe_hardware(),
        "threads": torch.get_num_threads(),
        "versions": machine.describe_versions(PACKAGES + packages),
        "date": date.today().isoformat(),
    }


def describe_command() -> str:
    """Return the command line of this process without the folders of this machine."""
    words = [f"benchmarks/{Path(sys.argv[0]).name}"]
    for word in sys.argv[1:]:
        path = Path(word)
        words.append(path.name if path.is_absolute() or ".." in path.parts else word)
    return " ".join(words)


def opening(title: str, result: dict) -> list[str]:
    """Return the Markdown lines of a title and of the result's origin."""
    versions = ", ".join(f"{name} {number}" for name, number in result["versions"].items())
    return [
        f"# {title}",
        "",
        f"`python {result['command']}`",
        "",
        f"{result['dataset']}; seed {result['seed']}; {result['hardware']}, "
        f"{result['threads']} thread(s); {versions}; {result['date']}.",
        "",
    ]


def goals(rows: Iterable[tuple[str, str, bool]]) -> str:
    """Return a Markdown table of goals: the goal, the measured value, whether it is reached."""
    return table(
        ["goal", "measured", "reached"],
        [[goal, measured, "yes" if reached else "**no**"] for goal, measured, reached in rows],
    )


def read_known(path: Path, key: str) -> dict:
    """Return what an earlier call wrote under a key of `path`, which has no suffix; {} without."""
    file = path.with_suffix(".json")
    return json.loads(file.read_text()).get(key, {}) if file.is_file() else {}


def write(path: Path, result: dict, markdown: Iterable[str]) -> None:
    """Print the Markdown, and write it and the JSON to `path`, which has no suffix."""
    text = "\n".join(markdown) + "\n"
    path.with_suffix(".md").write_text(text)
    path.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(text)
