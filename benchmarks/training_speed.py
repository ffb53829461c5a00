"""Training speed beside Hugging Face's plain recipe and the bare forward and backward pass.

    python benchmarks/training_speed.py --data emotion-detection-fer.zip

All three train the same network from scratch, in turn, on batches of the same size in the same
dtype. "Ours" is a step of `train_hub.py train`: images on the device, batch augmentation,
clipping, optimiser, EMA. "Plain" follows transformers' `run_image_classification_no_trainer.py`:
each image decoded and transformed by PIL and torchvision in DataLoader workers, Accelerate, torch's
AdamW; it augments less. "Bare" is forward and backward of one batch that is ready, without an
optimiser. Each round begins with warm-up steps, in which workers start and memory is allocated.
"""

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import datasets
import report
import torch
from accelerate import Accelerator
from torch.nn.functional import cross_entropy
from torch.utils.data import DataLoader
from torchvision import transforms

from emotion_detective import data
from emotion_detective.core.classifier import GRAY_MEAN, GRAY_STD
from emotion_detective.evaluation.plots import table
from emotion_detective.training import loop
from emotion_detective.training.augment import normalize, to_float
from emotion_detective.training.networks import create_network
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run import Run, prepare

# Training images, more than a round takes, so that no epoch ends within one.
LIMIT = 4096
WARM_STEPS, STEPS, ROUNDS = 2, 6, 3
# The goals: on a GPU so many times the plain recipe's speed, on a CPU so much of the bare time.
MIN_OVER_PLAIN_ON_GPU = 3.0
MAX_OVER_BARE_ON_CPU = 1.15

# Makes a step for each item; closing it ends its workers.
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


def plain_steps(
    config: TrainConfig, split: datasets.Dataset, mixed_precision: str, workers: int
) -> Steps:
    """Yield after every step of Hugging Face's plain recipe."""
    transform = transforms.Compose(
        [
            transforms.RandomResizedCrop(config.image_sizes[-1]),
            transforms.RandomHorizontalFlip(),
            transforms.ToTensor(),
            transforms.Normalize((GRAY_MEAN,) * 3, (GRAY_STD,) * 3),
        ]
    )

    def preprocess(rows: dict) -> dict:
        pictures = [transform(picture.convert("RGB")) for picture in rows["image"]]
        return {"pixel_values": pictures, "labels": rows["label"]}

    accelerator = Accelerator(mixed_precision=mixed_precision)
    network = create_network(config.architecture, config.init)
    loader = DataLoader(
        split.with_transform(preprocess),
        batch_size=config.batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=workers,
    )
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate)
    network, optimizer, loader = accelerator.prepare(network, optimizer, loader)
    network.train()
    while True:
        for batch in loader:
            loss = cross_entropy(network(batch["pixel_values"]), batch["labels"])
            accelerator.backward(loss)
            optimizer.step()
            optimizer.zero_grad()
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
    """Return images a second of ours, plain and bare: medians of alternating rounds."""
    if config.limit < config.batch_size:
        raise ValueError(
            f"{config.limit} images do not fill a batch of {config.batch_size}: raise --limit."
        )
    run = prepare(config, parts, compile_network=asked.compile)
    precision = run.accelerator.mixed_precision
    split = data.subset(parts["train"], config.limit, config.seed)
    recipes = {
        "ours": lambda: our_steps(run),
        "plain": lambda: plain_steps(config, split, precision, asked.workers),
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
        "workers": asked.workers,
        "precision": precision,
        "device": run.accelerator.device.type,
        **{name: config.batch_size / median(row[name] for row in times) for name in recipes},
    }


def goals(result: dict) -> list[tuple[str, str, bool]]:
    """Return what was to be reached on this kind of device, what was, and whether."""
    over_plain = result["ours"] / result["plain"]
    over_bare = result["bare"] / result["ours"]
    if result["device"] == "cpu":
        goal = f"a step at most {MAX_OVER_BARE_ON_CPU - 1:.0%} longer than the bare pass"
        return [(goal, f"{over_bare - 1:+.1%}", over_bare <= MAX_OVER_BARE_ON_CPU)]
    goal = f"{MIN_OVER_PLAIN_ON_GPU:g} times the plain recipe"
    return [(goal, f"{over_plain:.1f} times", over_plain >= MIN_OVER_PLAIN_ON_GPU)]


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("Training speed", result)
    yield (
        f"{result['architecture']} at {result['image_size']} px, batches of "
        f"{result['batch_size']}, mixed precision: {result['precision']}, "
        f"{result['workers']} DataLoader workers for the plain recipe."
    )
    yield ""
    names = ("ours", "plain", "bare")
    yield table(
        ["recipe", "images a second", "of ours"],
        [[n, f"{result[n]:.1f}", f"{result[n] / result['ours']:.2f}"] for n in names],
    )
    yield ""
    yield report.goals(result["goals"])


def main() -> None:
    parser = report.parser(__file__, __doc__, "data")
    parser.add_argument("--batch-size", type=int, default=TrainConfig.batch_size)
    parser.add_argument("--image-size", type=int, default=TrainConfig.image_sizes[-1])
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="of the plain recipe")
    parser.add_argument("--limit", type=int, default=LIMIT, help="training images to draw from")
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    parser.add_argument("--steps", type=int, default=STEPS, help="timed in each round")
    parser.add_argument("--compile", action="store_true", help="compile our network, on a GPU")
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
