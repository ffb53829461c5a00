"""The learning-rate range test (Smith 2015, arXiv 1506.01186): loss against learning rate.

A new network learns from batch after batch while the rate rises exponentially, until the loss
diverges. The suggestion is fastai's default, the "valley" (`fastai/callback/schedule.py`). A
checkpoint that the test starts from is left alone. Run it with `train_hub.py find-lr`.
"""

import dataclasses
import itertools
import logging
import math
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
from accelerate import Accelerator
from matplotlib.figure import Figure
from tqdm.auto import tqdm

from emotion_detective.evaluation import plots
from emotion_detective.training import loop, machine
from emotion_detective.training.recipe import SMALLEST_BATCH, TrainConfig
from emotion_detective.training.run import create_accelerator, prepare

logger = logging.getLogger(__name__)

LOWEST_RATE, HIGHEST_RATE = 1e-6, 1.0
STEPS, MIN_STEPS = 150, 20
# A test on a CPU takes as many images as it learns from in this time.
CPU_SECONDS = 180
# As in fastai, the loss is averaged with this memory and has diverged at four times its minimum;
# the first tenth is noise, and the last steps are the divergence.
MEMORY, DIVERGED = 0.98, 4.0
SKIPPED_START_FRACTION, SKIPPED_END = 0.1, 5
# A smaller fall comes from batches of different difficulty, not from learning.
MIN_FALL = 0.005


@dataclass(frozen=True)
class RangeTest:
    """The curve: `rates` and smoothed `losses`, both `(N,)`, and the suggested rate.

    Where none can be suggested, `problem` says why. The recipe has `recipe_rate`.
    """

    rates: np.ndarray
    losses: np.ndarray
    suggestion: float | None
    problem: str
    recipe_rate: float


def find_lr(config: TrainConfig, parts: datasets.DatasetDict) -> RangeTest:
    """Run the test with the recipe's network and augmentation at its last image size.

    On a CPU batches are so small, and then steps so few, that it ends in about CPU_SECONDS; the
    rates of the curve are those for the recipe's batch (`TrainConfig.for_images`).
    """
    accelerator = create_accelerator()
    seconds = machine.time_image(config, accelerator)
    batch_size = min(config.batch_size, config.limit or len(parts["train"]), len(parts["train"]))
    steps = STEPS
    if accelerator.device.type == "cpu":
        images = int(CPU_SECONDS / seconds)
        batch_size = min(batch_size, max(SMALLEST_BATCH, images // STEPS))
        steps = min(STEPS, max(MIN_STEPS, images // batch_size))
    time = machine.describe_time(seconds * batch_size * steps / accelerator.num_processes)
    logger.info("a range test of %d steps with %d images: %s", steps, batch_size, time)
    small = dataclasses.replace(config, batch_size=batch_size)
    rates, losses = _raise_rate(small, parts, accelerator, steps)
    rates *= math.sqrt(config.batch_size / batch_size)
    try:
        return RangeTest(rates, losses, suggest(rates, losses), "", config.learning_rate)
    except ValueError as error:
        return RangeTest(rates, losses, None, str(error), config.learning_rate)


def _raise_rate(
    config: TrainConfig, parts: datasets.DatasetDict, accelerator: Accelerator, steps: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return the rates and smoothed losses, `(N,)`, of the steps before the loss diverges."""
    run = prepare(config, parts, accelerator)
    run.network.train()
    losses, average = [], 0.0
    rates = np.geomspace(LOWEST_RATE, HIGHEST_RATE, steps)
    batches = itertools.chain.from_iterable(itertools.repeat(run.loaders["train"]))
    for rate, indices in zip(tqdm(rates, leave=False), batches, strict=False):
        run.scheduler.update_groups(rate)  # keeps the ratios of layer decay
        loss = loop.step(run, indices, config.image_sizes[-1], config.augmentation)
        loss = run.accelerator.reduce(loss, "mean").item()  # all processes stop at the same step
        average = MEMORY * average + (1 - MEMORY) * loss
        smoothed = average / (1 - MEMORY ** (len(losses) + 1))
        if not math.isfinite(smoothed) or smoothed > DIVERGED * min(losses, default=math.inf):
            break
        losses.append(smoothed)
    return rates[: len(losses)], np.array(losses)


def suggest(rates: np.ndarray, losses: np.ndarray) -> float:
    """Return the rate that fastai suggests for `(N,)` rates and losses in the order of the steps.

    It lies halfway down the longest decreasing subsequence of the losses.
    """
    start, end = int(SKIPPED_START_FRACTION * len(rates)), len(rates) - SKIPPED_END
    if end - start < 10:
        raise ValueError(
            f"The loss diverged after {len(rates)} steps, too few to suggest a rate: look at the "
            "data, or use a larger --batch-size."
        )
    rates, losses = rates[start:end], losses[start:end]
    if losses.min() > (1 - MIN_FALL) * losses[0]:
        raise ValueError(
            f"The loss fell at no rate from {rates[0]:.0e} to {rates[-1]:.0e}, so that none can be "
            "suggested: train at some rates (--lr) and keep the best."
        )
    lengths = np.ones(len(losses), int)  # of the longest such subsequence up to each step
    for i in range(1, len(losses)):
        lengths[i] += lengths[:i][losses[i] < losses[:i]].max(initial=0)
    end = int(lengths.argmax())
    third = lengths[end] / 3
    return float(rates[end - int(lengths[end]) + int(third) + int(third / 2)])


def write(test: RangeTest, folder: Path) -> list[Path]:
    """Write `find_lr.csv` and `find_lr.png` into `folder` and return their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    curve = pd.DataFrame({"learning_rate": test.rates, "smoothed_loss": test.losses})
    curve.to_csv(folder / "find_lr.csv", index=False)
    figure = Figure(figsize=(plots.WIDTH_INCHES, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.semilogx(test.rates, test.losses, color=plots.GRAY)
    if test.suggestion:
        loss = np.interp(np.log(test.suggestion), np.log(test.rates), test.losses)
        suggested = f"suggested: {test.suggestion:.2e}"
        axes.plot(test.suggestion, loss, "o", color=plots.BLUE, markersize=9, label=suggested)
    taken = f"recipe: {test.recipe_rate:.2e} (what training takes)"
    axes.axvline(test.recipe_rate, color=plots.ORANGE, linestyle="--", label=taken)
    labels = dict(xlabel="learning rate", ylabel="training loss, smoothed")
    axes.set(title="Learning-rate range test", **labels)
    axes.legend()
    return [folder / "find_lr.csv", plots.save(figure, folder / "find_lr.png")]
