"""The training run: a DatasetDict and a TrainConfig in, the best weights and their history out.

Each batch is augmented on the device and passes through the network in bfloat16 where the hardware
has it. Everything random in an epoch follows from the seed, the first weights and the epoch's
number: a run that was killed goes on from the last state that `run_folder.py` wrote to the same
result, on the same machine with as many threads. Knows no Hub; run it with `train_hub.py train`.
"""

import logging
import math
import time
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate.utils import broadcast, set_seed
from safetensors.torch import load_file
from timm.loss import SoftTargetCrossEntropy
from torch import nn
from torch.nn.functional import cross_entropy
from tqdm.auto import tqdm

from emotion_detective import LABELS, data
from emotion_detective.training import machine, run_folder
from emotion_detective.training.augment import augment, normalize, to_float
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run import EVALUATION_BATCH, Run, create_accelerator, prepare
from emotion_detective.training.run_folder import best_row

logger = logging.getLogger(__name__)

# The loss of guessing: a run that ends here has learned nothing.
GUESSING_LOSS = math.log(len(LABELS))
# Fewer steps teach a network nothing, whatever the rate.
FEW_STEPS = 200
# A GPU waits for nothing but the loss of every such step.
CHECKED_EVERY = 20


def train(
    config: TrainConfig, parts: datasets.DatasetDict, output: Path, resume: bool = False
) -> tuple[nn.Module, list[dict]]:
    """Train; return the network with the weights of its best epoch, and a row for each epoch.

    Writes `train_config.json`, `metrics.jsonl`, the state of the last epoch and the EMA weights of
    the best one into `output`. All processes return the same.
    """
    accelerator = create_accelerator()
    counts = {f"{name}_images": len(part) for name, part in parts.items()}
    record = {"config": config.recorded(), "learned_from": counts}
    with run_folder.claim(accelerator, record, output, resume):
        run = prepare(config, parts, accelerator)
        rows = run_folder.restore(accelerator, output) if resume else []
        _train_epochs(run, rows, output)
        network = accelerator.unwrap_model(run.network, keep_fp32_wrapper=False)
        network.load_state_dict(load_file(output / run_folder.BEST_WEIGHTS_FILE))
    if best_row(rows)["validation_loss"] >= GUESSING_LOSS:
        logger.warning(_explain_failure(rows, config.epochs * len(run.loaders["train"])))
    return network.float().eval(), rows


def _train_epochs(run: Run, rows: list[dict], output: Path) -> None:
    """Train the epochs that have no row yet; add their rows."""
    epochs, done, loader = run.config.epochs, len(rows), run.loaders["train"]
    counts = len(run.images["train"]), len(run.images["validation"])
    seconds = machine.estimate_run(run.config, run.accelerator, *counts, done)
    logger.info(
        f"{epochs - done} epochs of {len(loader)} steps with {loader.total_batch_size} images: "
        f"{machine.describe_time(seconds)}"
    )
    for epoch in range(done, epochs):
        rows.append(_train_epoch(run, epoch) | _validate(run, epoch))
        run_folder.save_epoch(run.accelerator, rows, run.ema.module, epochs, output)
        _report(rows[-1], epochs)


def _explain_failure(rows: list[dict], steps: int) -> str:
    """Return why a run learned nothing that holds for validation, and what to do."""
    what, remedy = "nothing", "try a lower --lr (train_hub.py find-lr)"
    if min(row["train_loss"] for row in rows) < 0.8 * GUESSING_LOSS:
        what = "the training images and nothing that holds for others"
        remedy = "it takes more images, or --init with a checkpoint"
    elif steps < FEW_STEPS:
        what = f"nothing in {steps} steps"
        remedy = "it takes more --epochs, a smaller --batch-size or more images"
    return f"The network learned {what}: {remedy}."


@torch.no_grad()
def predict_logits(
    network: nn.Module, split: datasets.Dataset, image_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float32 logits `(N, 6)` and labels `(N,)` of a split; move the network to the CPU."""
    network.cpu().eval()
    images, labels = data.to_tensors(split, image_size)
    batches = tqdm(images.split(EVALUATION_BATCH), desc="calibrating", leave=False)
    return torch.cat([network(normalize(to_float(b, image_size))) for b in batches]), labels


def _train_epoch(run: Run, epoch: int) -> dict:
    config, accelerator, loader = run.config, run.accelerator, run.loaders["train"]
    set_seed(run.seed + 1_000_003 * (epoch + 1), device_specific=True)
    loader.set_epoch(epoch)
    image_size = config.image_size_at(epoch)
    # The same sizes in every process, so that none waits for one with larger images.
    sizes = np.random.default_rng([run.seed, epoch]).choice(
        config.batch_sizes_at(epoch), len(loader)
    )
    run.network.train()
    update = epoch * len(loader)
    loss_sum = torch.zeros((), device=accelerator.device)
    begin = time.perf_counter()
    what = f"epoch {epoch + 1}/{config.epochs} at {image_size} px"
    batches = tqdm(loader, desc=what, leave=False)
    for indices, side in zip(batches, sizes.tolist(), strict=True):
        run.scheduler.step_update(update)
        loss_sum += step(run, indices, side, config.augmentation_at(epoch))
        update += 1
        if update % CHECKED_EVERY == 0 or update % len(loader) == 0:
            _refuse_nan(loss_sum, update)
        run.ema.update(accelerator.unwrap_model(run.network), step=update)
    seconds = time.perf_counter() - begin
    images = len(loader) * loader.total_batch_size
    return {
        "epoch": epoch + 1,
        "image_size": image_size,
        "learning_rate": run.optimizer.param_groups[-1]["lr"],
        "train_loss": accelerator.reduce(loss_sum, "mean").item() / len(loader),
        "images_per_second": round(images / seconds, 1),
        "seconds": round(seconds, 1),
    }


def _refuse_nan(loss: torch.Tensor, update: int) -> None:
    if not loss.isfinite():
        raise ValueError(
            f"The loss is {loss.item()} after {update} steps: nothing can be learned any more. "
            "Start again in another --output with a lower --lr (find-lr suggests one)."
        )


def step(run: Run, indices: torch.Tensor, image_size: int, strength: float) -> torch.Tensor:
    """Learn from the training images at `indices`; return their loss, a scalar on the device.

    They are resized to `image_size` pixels a side and augmented with `strength`.
    """
    with torch.no_grad():
        faces = to_float(run.images["train"][indices], image_size)
        inputs = augment(faces, strength, run.config.erasing)
    targets = run.targets["train"][indices]
    loss = SoftTargetCrossEntropy()(run.network(normalize(inputs)), targets)
    run.accelerator.backward(loss)
    run.accelerator.clip_grad_norm_(run.network.parameters(), run.config.clip_norm)
    run.optimizer.step()
    run.optimizer.zero_grad()
    return loss.detach()


@torch.no_grad()
def _validate(run: Run, epoch: int) -> dict:
    """Return loss and accuracy of the EMA weights on the validation images, each counted once.

    The loss is that to the targets. With votes there is the agreement with the voters' majority.
    """
    # The statistics of batch normalisation differ by process; one network is validated and kept.
    broadcast(list(run.ema.module.buffers()))
    image_size = run.config.image_size_at(epoch)
    gathered = []
    for indices in tqdm(run.loaders["validation"], desc="validating", leave=False):
        inputs = normalize(to_float(run.images["validation"][indices], image_size))
        labels = run.labels["validation"][indices]
        with run.accelerator.autocast():
            logits = run.ema.module(inputs).float()
        loss = cross_entropy(logits, run.targets["validation"][indices], reduction="none")
        predicted = logits.argmax(dim=1)
        values = [loss, (predicted == labels).float()]
        if run.majorities is not None:
            majority = run.majorities[indices]
            values.append((predicted == majority).float().where(majority >= 0, torch.nan))
        gathered.append(run.accelerator.gather_for_metrics(torch.stack(values, dim=1)))
    each = torch.cat(gathered)
    names = ("validation_loss", "validation_accuracy", "validation_agreement")
    means = each.nanmean(dim=0).tolist()
    return {"validation_images": len(each)} | dict(zip(names, means, strict=False))


def _report(row: dict, epochs: int) -> None:
    voters = "  voters %(validation_agreement).4f" if "validation_agreement" in row else ""
    logger.info(
        f"epoch %(epoch)3d/{epochs}  %(image_size)3d px  lr %(learning_rate).1e  "
        "train loss %(train_loss).3f  val loss %(validation_loss).3f  "
        f"val acc %(validation_accuracy).4f{voters}  %(images_per_second)5.0f images/s",
        row,
    )
