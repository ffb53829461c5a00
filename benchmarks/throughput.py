"""Faces a second by batch and number format, and whether the app picks the best of them.

    python benchmarks/throughput.py --data emotion-detection-fer.zip

Times are of the network's forward pass over the same 128 faces, in batches, in one thread as on the
page; preprocessing is in photo_to_answer.py. A number format counts as right if no probability
moves by more than 1e-3 from float32.
"""

import argparse
import copy
from collections.abc import Callable, Iterator
from pathlib import Path

import report
import timing
import torch
from torch import nn

from emotion_detective.evaluation.markdown import table
from emotion_detective.inference.loading import load_classifier
from emotion_detective.inference.model import MAX_BATCH
from emotion_detective.training import data

BATCHES = (1, 8, 32, 64, 128)
TIMED_FACES = 128
LIMIT = 512
ROUNDS = 7
SEED = 0
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
RIGHT_WITHIN = 1e-3
# A setting that is this much slower than the fastest is as fast: timings repeat no better.
AS_FAST = 0.95


@torch.inference_mode()
def probabilities(network: nn.Module, faces: torch.Tensor) -> torch.Tensor:
    """Return float32 probabilities `(N, 6)` of normalised faces, in the network's own format."""
    dtype = next(network.parameters()).dtype
    batches = faces.to(dtype).split(MAX_BATCH)
    return torch.cat([network(batch) for batch in batches]).float().softmax(dim=1)


def largest_differences(networks: dict[str, nn.Module], faces: torch.Tensor) -> dict[str, float]:
    """Return how far the most different probability of each format lies from float32's."""
    expected = probabilities(networks["float32"], faces)
    return {
        name: float((probabilities(network, faces) - expected).abs().max())
        for name, network in networks.items()
    }


def faces_a_second(
    networks: dict[str, nn.Module], faces: torch.Tensor, batch: int, rounds: int
) -> dict[str, float]:
    """Return faces a second of each format."""
    calls = {name: _forward(network, faces, batch) for name, network in networks.items()}
    return {name: len(faces) / seconds for name, seconds in timing.medians(calls, rounds).items()}


def _forward(network: nn.Module, faces: torch.Tensor, batch: int) -> Callable[[], None]:
    batches = faces.to(next(network.parameters()).dtype).split(batch)

    @torch.inference_mode()
    def forward() -> None:
        for inputs in batches:
            network(inputs)

    return forward


def measure(network: nn.Module, faces: torch.Tensor, rounds: int) -> dict:
    """Return differences and speeds; `network` is float32, `faces` are normalised."""
    networks = {name: copy.deepcopy(network).to(dtype) for name, dtype in DTYPES.items()}
    timed = faces[:TIMED_FACES]
    return {
        "compared": len(faces),
        "largest_difference": largest_differences(networks, faces),
        "faces_a_second": {
            str(batch): faces_a_second(networks, timed, batch, rounds) for batch in BATCHES
        },
    }


def goals(result: dict, picked: str) -> list[tuple[str, str, bool]]:
    """Return whether the app's number format and its largest batch are the best right ones."""
    speeds = result["faces_a_second"]
    right = [name for name, off in result["largest_difference"].items() if off <= RIGHT_WITHIN]
    best = {batch: max(right, key=row.get) for batch, row in speeds.items()}
    beaten = {
        f"batch {batch}: {name} ({speeds[batch][name] / speeds[batch][picked]:.2f} times faster)"
        for batch, name in best.items()
        if speeds[batch][picked] < AS_FAST * speeds[batch][name]
    }
    by_batch = {batch: row[picked] for batch, row in speeds.items()}
    fastest = max(by_batch, key=by_batch.get)
    return [
        (
            f"the app's number format is the fastest within {RIGHT_WITHIN:g} of float32",
            f"{picked}; " + ("; ".join(sorted(beaten)) or "none is faster"),
            picked in right and not beaten,
        ),
        (
            "no batch is faster than the app's largest",
            f"{by_batch[str(MAX_BATCH)]:.0f} faces a second at {MAX_BATCH}, "
            f"{by_batch[fastest]:.0f} at {fastest}",
            by_batch[str(MAX_BATCH)] >= AS_FAST * by_batch[fastest],
        ),
    ]


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("Faces a second", result)
    speeds = result["faces_a_second"]
    names = list(next(iter(speeds.values())))
    yield table(
        ["faces in a batch", *names],
        [[batch, *(f"{row[name]:.0f}" for name in names)] for batch, row in speeds.items()],
    )
    yield ""
    differences = ", ".join(
        f"{name} {off:.1e}" for name, off in result["largest_difference"].items()
    )
    yield (
        f"Largest difference of a probability from float32 over {result['compared']} faces: "
        f"{differences}."
    )
    yield ""
    yield report.goals(result["goals"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default=report.EMBEDDED_MODEL, help="folder or Hub repository")
    parser.add_argument("--data", required=True, help="Kaggle zip, its folder or a Hub dataset id")
    parser.add_argument("--limit", type=int, default=LIMIT, help="faces to compare, at random")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--output", type=Path, default=Path(__file__).with_suffix(""))
    arguments = parser.parse_args()
    classifier = load_classifier(arguments.model)
    images = data.subset(data.load(arguments.data)["validation"], arguments.limit, SEED)
    faces = classifier.preprocess(images["image"])
    faces = faces.contiguous(memory_format=torch.channels_last)
    name = Path(arguments.data).name
    images = f"{len(faces)} images of validation of {name}"
    result = report.origin(report.command(), images, SEED)
    result |= measure(classifier.network, faces, arguments.rounds)
    picked = str(next(classifier.network.parameters()).dtype).removeprefix("torch.")
    result["goals"] = goals(result, picked)
    report.write(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
