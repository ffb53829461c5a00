"""Training speed: a step of `train_hub.py train` beside its bare forward and backward pass.

    python benchmarks/training_speed.py --data emotion-detection-fer.zip

Both train the same network from scratch, in turn, on batches of the same size in the same dtype.
"Ours" is a whole step: images on the device, batch augmentation, clipping, optimiser, EMA. "Bare"
is forward and backward of one batch that is ready, without an optimiser. Each round begins with
warm-up steps, in which memory is allocated.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import datasets
import report
import torch
from torch.nn.functional import cross_entropy

from emotion_detective import data
from emotion_detective.evaluation.plots import table
from emotion_detective.training import loop
from emotion_detective.training.augment import normalize, to_float
from emotion_detective.training.networks import create_network
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run import Run, prepare

# Training images, more than a round takes, so that no epoch ends within one.
LIMIT = 4096
WARM_STEPS, STEPS, ROUNDS = 2, 6, 3
MAX_OVER_BARE = 1.15

# Makes a step for each item.
Steps = Iterator[None]


def our_steps(run: Run) -> Steps:
    """Yield after every step of our loop, as an epoch makes them."""
    network = run.accelerator.unwrap_model(run.network)
    image_size = run.config.image_sizes[-1]
    run.network.train()
    update = 0
    while True:
        for indices in run.loaders["train"]:
            run.scheduler.step_update(update)
            loop.step(run, indices, image_size, run.config.augmentation)
            update += 1
            run.ema.update(network, step=update)
            yield


def bare_steps(run: Run) -> Steps:
    """Yield after every forward and backward pass of a network like the run's, on one batch."""
    config, device = run.config, run.accelerator.device
    network = create_network(config.architecture, config.init)
    network = network.to(device, memory_format=torch.channels_last)
    images = run.images["train"][: config.batch_size]
    inputs = normalize(to_float(images, config.image_sizes[-1]))
    labels = run.labels["train"][: config.batch_size]
    while True:
        with run.accelerator.autocast():
            loss = cross_entropy(network(inputs), labels)
        loss.backward()
        network.zero_grad()
        yield


def seconds_a_step(steps: Steps, count: int) -> float:
    """Return the seconds of one of `count` steps, after WARM_STEPS."""

    def make(number: int) -> None:
        for _ in range(number):
            next(steps)
        if torch.cuda.is_available():
            torch.cuda.synchronize()

    make(WARM_STEPS)
    seconds = report.seconds(lambda: make(count)) / count
    steps.close()
    return seconds


def measure(asked: argparse.Namespace, config: TrainConfig, parts: datasets.DatasetDict) -> dict:
    """Return images a second of both: medians of alternating rounds."""
    if config.limit < config.batch_size:
        raise ValueError(
            f"{config.limit} images do not fill a batch of {config.batch_size}: raise --limit."
        )
    run = prepare(config, parts)
    recipes = {
        "ours": lambda: our_steps(run),
        "bare": lambda: bare_steps(run),
    }
    times = [
        {name: seconds_a_step(begin(), asked.steps) for name, begin in recipes.items()}
        for _ in range(asked.rounds)
    ]
    return {
        "architecture": config.architecture,
        "image_size": config.image_sizes[-1],
        "batch_size": config.batch_size,
        "precision": run.accelerator.mixed_precision,
        "device": run.accelerator.device.type,
        **{name: config.batch_size / median(row[name] for row in times) for name in recipes},
    }


def goals(result: dict) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether."""
    over = result["bare"] / result["ours"]
    goal = f"a step at most {MAX_OVER_BARE - 1:.0%} longer than the bare pass"
    return [(goal, f"{over - 1:+.1%}", over <= MAX_OVER_BARE)]


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("Training speed", result)
    yield (
        f"{result['architecture']} at {result['image_size']} px, batches of "
        f"{result['batch_size']}, mixed precision: {result['precision']}."
    )
    yield ""
    names = ("ours", "bare")
    yield table(
        ["step", "images a second", "of ours"],
        [[n, f"{result[n]:.1f}", f"{result[n] / result['ours']:.2f}"] for n in names],
    )
    yield ""
    yield report.goals(result["goals"])


def main() -> None:
    parser = report.parser(__file__, __doc__, "data")
    parser.add_argument("--batch-size", type=int, default=TrainConfig.batch_size)
    parser.add_argument("--image-size", type=int, default=TrainConfig.image_sizes[-1])
    parser.add_argument("--limit", type=int, default=LIMIT, help="training images to draw from")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS, help="timed in each round")
    asked = parser.parse_args()
    config = TrainConfig(
        batch_size=asked.batch_size,
        image_sizes=(asked.image_size,),
        image_size_shares=(1.0,),
        limit=asked.limit,
    )
    images = f"{config.limit} images of train of {Path(asked.data).name}"
    result = report.origin(images, config.seed, packages=("accelerate", "datasets"))
    result |= measure(asked, config, data.load(asked.data))
    result["goals"] = goals(result)
    report.write(asked.output, result, markdown(result))


if __name__ == "__main__":
    main()
