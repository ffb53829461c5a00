"""What the benchmarks share: where a result comes from, and its two files, Markdown and JSON.

Import it before `emotion_detective`: it makes the repository's root importable, so that every
benchmark runs as `python benchmarks/NAME.py` from anywhere.
"""

import json
import sys
from collections.abc import Iterable
from datetime import date
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from emotion_detective.evaluation.markdown import table
from emotion_detective.training import machine

ROOT = Path(__file__).resolve().parents[1]
EMBEDDED_MODEL = ROOT / "models" / "emotion-detective-resnet50"
PACKAGES = ("torch", "facenet-pytorch", "timm", "pillow")


def origin(command: str, dataset: str, seed: int, packages: tuple[str, ...] = ()) -> dict:
    """Return the fields that say where a result comes from; `command` without machine paths.

    `packages` are those that decide it besides the usual ones.
    """
    return {
        "command": command,
        "dataset": dataset,
        "seed": seed,
        "hardware": machine.describe_hardware(),
        "threads": torch.get_num_threads(),
        "versions": machine.describe_versions(PACKAGES + packages),
        "date": date.today().isoformat(),
    }


def command() -> str:
    """Return how this benchmark was called, without the folders of this machine."""
    words = [f"benchmarks/{Path(sys.argv[0]).name}"]
    for word in sys.argv[1:]:
        path = Path(word)
        words.append(path.name if path.is_absolute() or ".." in path.parts else word)
    return " ".join(words)


def opening(title: str, result: dict) -> list[str]:
    """Return the Markdown lines of a title and of what `origin` recorded."""
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
    """Return a Markdown table of goals: what was to be reached, what was measured, and whether."""
    return table(
        ["goal", "measured", "reached"],
        [[goal, measured, "yes" if reached else "**no**"] for goal, measured, reached in rows],
    )


def write(path: Path, result: dict, markdown: Iterable[str]) -> None:
    """Print the Markdown and write it and the JSON beside the benchmark: `path` has no suffix."""
    text = "\n".join(markdown) + "\n"
    path.with_suffix(".md").write_text(text)
    path.with_suffix(".json").write_text(json.dumps(result, indent=2) + "\n")
    print(text)
