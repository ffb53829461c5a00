"""The training run: a DatasetDict and a TrainConfig in, a checkpoint folder with metrics out.

`train` reads as one story: prepare, epochs, best weights. Images lie on the device as uint8, are
augmented there in batches, and pass through the network in bfloat16 where the hardware has it.
Parts come from timm (optimiser, schedule, loss, EMA), torchvision (mixup, which timm has for single
labels only) and Accelerate (devices, processes, state). After every epoch the whole state is
written, and everything random in an epoch follows from the seed and the epoch's number: a run that
was killed goes on to the same result. Knows no Hub; run it with `train_hub.py train`.
"""

import dataclasses
import json
import logging
import math
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

import datasets
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    broadcast_object_list,
    set_seed,
)
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.functional import cross_entropy, one_hot
from torchvision.transforms import v2
from tqdm.auto import tqdm

from emotion_detective import data, machine
from emotion_detective.augment import build_augmentation, normalize, to_float
from emotion_detective.model import LABELS
from emotion_detective.networks import create_network
from emotion_detective.recipe import TrainConfig
from emotion_detective.votes import soft_targets

logger = logging.getLogger(__name__)

STATE_PREFIX = "state_"  # and the number of epochs done
BEST_WEIGHTS_FILE = "best.safetensors"
HISTORY_FILE = "metrics.jsonl"
CONFIG_FILE = "train_config.json"
EVALUATION_BATCH = 256
# What safetensors, torch.save and the rest raise where a disk is full or cannot be written.
WRITE_ERRORS = (SafetensorError, RuntimeError, OSError)
# What guessing costs: a run whose loss stands here at the end has learned nothing.
GUESSING_LOSS = math.log(len(LABELS))


class History:
    """One row an epoch; part of the saved state, so that a resumed run goes on with its rows."""

    def __init__(self) -> None:
        self.rows: list[dict] = []

    def state_dict(self) -> dict:
        """Return what `load_state_dict` takes, as Accelerate asks of what it saves."""
        return {"rows": json.dumps(self.rows)}

    def load_state_dict(self, state: dict) -> None:
        """Take back the rows of a saved state."""
        self.rows = json.loads(state["rows"])

    def write(self, path: Path) -> None:
        """Write the rows as JSON lines."""
        path.write_text("".join(json.dumps(row) + "\n" for row in self.rows))


@dataclass
class Run:
    """What the epochs of a run share; tensors are on the device, loaders yield indices.

    `targets` `(N, 6)` are what the training images are to be answered with, as probabilities.
    """

    config: TrainConfig
    accelerator: Accelerator
    network: nn.Module
    forward: nn.Module
    ema: ModelEmaV3
    optimizer: torch.optim.Optimizer
    scheduler: CosineLRScheduler
    images: dict[str, torch.Tensor]
    labels: dict[str, torch.Tensor]
    targets: torch.Tensor
    loaders: dict[str, torch.utils.data.DataLoader]
    augment: nn.Module
    mix: nn.Module
    history: History


def train(
    config: TrainConfig,
    parts: datasets.DatasetDict,
    output: Path,
    *,
    votes: Path | str | None = None,
    resume: bool = False,
    compile_network: bool = False,
) -> tuple[nn.Module, list[dict]]:
    """Train and return the network with the weights of its best epoch, and the rows of all epochs.

    `votes` is a CSV of FER+ votes that the targets are mixed with (`votes.soft_targets`).
    Writes `train_config.json`, `metrics.jsonl`, the state of the last epoch and the EMA weights of
    the best one into `output`. In several processes every one returns the same.

    Raises:
        ValueError: `output` holds another run, `resume` finds none or one of another recipe,
            `votes` cannot be used, or an epoch cannot be written.
    """
    if votes is None:
        config = dataclasses.replace(config, vote_share=0.0)
    accelerator = _accelerator(config)
    _claim_folder(accelerator, config, output, resume)
    run = prepare(config, parts, accelerator, compile_network, votes)
    if resume and (states := _states(output)):
        accelerator.load_state(str(states[-1]))
    for epoch in range(len(run.history.rows), config.epochs):
        row = _train_epoch(run, epoch) | _validate(run, epoch)
        run.history.rows.append(row)
        try:
            _save_epoch(run, output)
        except WRITE_ERRORS as error:
            reason = str(error).splitlines()[0]
            raise ValueError(
                f"Epoch {epoch + 1} could not be written to {output} ({reason}). Make room there "
                "and go on with --resume."
            ) from error
        _report(run)
    best = best_row(run.history.rows)
    network = accelerator.unwrap_model(run.network)
    network.load_state_dict(load_file(output / BEST_WEIGHTS_FILE))
    if accelerator.is_main_process and best["validation_loss"] >= GUESSING_LOSS:
        logger.warning("The network learned nothing: try a lower --lr (train_hub.py find-lr).")
    return network.float().eval(), run.history.rows


def best_row(rows: list[dict]) -> dict:
    """Return the row with the highest validation accuracy at the image size of the last one."""
    at_last_size = [row for row in rows if row["image_size"] == rows[-1]["image_size"]]
    return max(at_last_size, key=lambda row: row["validation_accuracy"])


def is_main_process() -> bool:
    """True in the one process that writes files and prints."""
    return PartialState().is_main_process


def remove_state(output: Path) -> None:
    """Delete what only `resume` needs, hundreds of megabytes, once the checkpoint is written."""
    for state in _states(output):
        shutil.rmtree(state)
    (output / BEST_WEIGHTS_FILE).unlink(missing_ok=True)


@torch.no_grad()
def predict_logits(network: nn.Module, images: torch.Tensor) -> torch.Tensor:
    """Return float32 logits `(N, 6)` of uint8 gray images `(N, 1, S, S)`, on the same device."""
    network.eval()
    batches = images.split(EVALUATION_BATCH)
    return torch.cat([network(normalize(to_float(b, b.shape[-1]))) for b in batches])


def _accelerator(config: TrainConfig) -> Accelerator:
    return Accelerator(
        # Without this, processes that torchrun starts on a CPU would each train on their own.
        cpu=not torch.accelerator.is_available(),
        mixed_precision="bf16" if machine.has_bfloat16() else "no",
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True),
        # While the body is frozen its parameters get no gradient.
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=config.frozen_epochs > 0)
        ],
    )


def _claim_folder(
    accelerator: Accelerator, config: TrainConfig, output: Path, resume: bool
) -> None:
    """Make `output` this run's folder, or refuse: by all processes alike."""
    problem = [None]
    if accelerator.is_main_process:
        problem = [_folder_problem(config, output, resume)]
        if problem == [None]:
            output.mkdir(parents=True, exist_ok=True)
            fresh = output / f"{CONFIG_FILE}.new"
            fresh.write_text(_config_json(config))
            os.replace(fresh, output / CONFIG_FILE)  # whole or not there, whenever it is killed
    broadcast_object_list(problem)
    if problem[0]:
        raise ValueError(problem[0])


def _folder_problem(config: TrainConfig, output: Path, resume: bool) -> str | None:
    path = output / CONFIG_FILE
    if not path.is_file():
        missing = f"There is no run to resume in {output}: start one without --resume."
        return missing if resume else None
    if not resume:
        return f"{output} holds a run already: add --resume, or name another --output."
    before, now = json.loads(path.read_text()), json.loads(_config_json(config))
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        name = changed[0]
        return (
            f"The run in {output} began with {name}={before.get(name)}, not {now[name]}: resume it "
            "with the options it was started with, or name another --output."
        )
    return None


def _config_json(config: TrainConfig) -> str:
    return json.dumps(dataclasses.asdict(config), indent=2) + "\n"


def prepare(
    config: TrainConfig,
    parts: datasets.DatasetDict,
    accelerator: Accelerator | None = None,
    compile_network: bool = False,
    votes: Path | str | None = None,
) -> Run:
    """Return a run at its first step: network, optimiser, images on the device."""
    accelerator = accelerator or _accelerator(config)
    set_seed(config.seed)
    device = accelerator.device
    network = create_network(config.architecture, config.init, config.drop_path)
    network = network.to(device, memory_format=torch.channels_last)
    ema = ModelEmaV3(network, decay=config.ema_decay, use_warmup=True)
    optimizer = create_optimizer_v2(
        network,
        opt=config.optimizer,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
    )
    images, labels = {}, {}
    splits = dict(train=data.subset(parts["train"], config.limit, config.seed))
    splits["validation"] = parts["validation"]
    for name, split in splits.items():
        split_images, split_labels = data.to_tensors(split, config.image_sizes[-1])
        images[name], labels[name] = split_images.to(device), split_labels.to(device)
    targets = _targets(config, splits["train"], votes).to(device)
    loaders = _loaders(config, accelerator, len(images["train"]), len(images["validation"]))
    network, optimizer, loaders["train"], loaders["validation"] = accelerator.prepare(
        network, optimizer, loaders["train"], loaders["validation"]
    )
    updates = config.epochs * len(loaders["train"])
    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=updates,
        warmup_t=int(config.warmup_share * updates),
        warmup_lr_init=config.learning_rate / 25,
        t_in_epochs=False,
    )
    mixes = [v2.MixUp(alpha=config.mixup)] if config.mixup else []
    mixes += [v2.CutMix(alpha=config.cutmix)] if config.cutmix else []
    history = History()
    accelerator.register_for_checkpointing(ema, history)
    return Run(
        config=config,
        accelerator=accelerator,
        network=network,
        forward=torch.compile(network, dynamic=False) if compile_network else network,
        ema=ema,
        optimizer=optimizer,
        scheduler=scheduler,
        images=images,
        labels=labels,
        targets=targets,
        loaders=loaders,
        augment=build_augmentation(config.augmentation, config.erasing),
        mix=v2.RandomChoice(mixes) if mixes else nn.Identity(),
        history=history,
    )


def _targets(
    config: TrainConfig, split: datasets.Dataset, votes: Path | str | None
) -> torch.Tensor:
    """Return `(N, 6)` probabilities: the labels, moved towards votes and smoothed."""
    labels = torch.tensor(split["label"])
    targets = one_hot(labels, len(LABELS)).float()
    if votes is not None and config.vote_share:
        voted = soft_targets(votes, split["file"], labels.numpy())
        targets = torch.lerp(targets, torch.from_numpy(voted).float(), config.vote_share)
    return torch.lerp(targets, torch.full_like(targets, 1 / len(LABELS)), config.label_smoothing)


def _loaders(
    config: TrainConfig, accelerator: Accelerator, train_count: int, validation_count: int
) -> dict[str, torch.utils.data.DataLoader]:
    """Return loaders of indices: the images are on the device already."""
    batch_size = min(config.batch_size, train_count)
    if batch_size % accelerator.num_processes:
        raise ValueError(
            f"A batch of {batch_size} does not divide among {accelerator.num_processes} processes: "
            "change --batch-size or --limit."
        )
    return dict(
        train=torch.utils.data.DataLoader(
            range(train_count),
            batch_size=batch_size // accelerator.num_processes,
            shuffle=True,
            drop_last=True,
        ),
        validation=torch.utils.data.DataLoader(
            range(validation_count), batch_size=EVALUATION_BATCH
        ),
    )


def _train_epoch(run: Run, epoch: int) -> dict:
    config, accelerator, loader = run.config, run.accelerator, run.loaders["train"]
    set_seed(config.seed + 1_000_003 * (epoch + 1), device_specific=True)
    loader.set_epoch(epoch)
    image_size = config.image_size_at(epoch)
    _freeze_body(accelerator.unwrap_model(run.network), epoch < config.frozen_epochs)
    run.network.train()
    update = epoch * len(loader)
    loss_sum = torch.zeros((), device=accelerator.device)
    begin = time.perf_counter()
    bar = tqdm(
        loader,
        desc=f"epoch {epoch + 1}/{config.epochs} at {image_size} px",
        disable=not accelerator.is_main_process,
        leave=False,
    )
    for indices in bar:
        run.scheduler.step_update(update)
        loss_sum += step(run, indices, image_size)
        update += 1
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


def step(run: Run, indices: torch.Tensor, image_size: int) -> torch.Tensor:
    """Learn from one batch of training images; return its loss, a scalar on the device."""
    with torch.no_grad():
        inputs = run.augment(to_float(run.images["train"][indices], image_size))
        inputs, targets = run.mix((inputs, run.targets[indices]))
    loss = SoftTargetCrossEntropy()(run.forward(normalize(inputs)), targets)
    run.accelerator.backward(loss)
    run.accelerator.clip_grad_norm_(run.network.parameters(), run.config.clip_norm)
    run.optimizer.step()
    run.optimizer.zero_grad()
    return loss.detach()


def _freeze_body(network: nn.Module, frozen: bool) -> None:
    """Let only the classifier learn, or everything."""
    for parameter in network.parameters():
        parameter.requires_grad_(not frozen)
    for parameter in network.get_classifier().parameters():
        parameter.requires_grad_(True)


@torch.no_grad()
def _validate(run: Run, epoch: int) -> dict:
    """Loss and accuracy of the EMA weights on every validation image, each counted once."""
    image_size = run.config.image_size_at(epoch)
    gathered = []
    for indices in run.loaders["validation"]:
        inputs = normalize(to_float(run.images["validation"][indices], image_size))
        labels = run.labels["validation"][indices]
        with run.accelerator.autocast():
            logits = run.ema.module(inputs).float()
        loss = cross_entropy(logits, labels, reduction="none")
        hit = (logits.argmax(dim=1) == labels).float()
        gathered.append(run.accelerator.gather_for_metrics(torch.stack((loss, hit), dim=1)))
    each = torch.cat(gathered)
    return {
        "validation_images": len(each),
        "validation_loss": each[:, 0].mean().item(),
        "validation_accuracy": each[:, 1].mean().item(),
    }


def _save_epoch(run: Run, output: Path) -> None:
    """Write best weights, state and history; whenever it is killed, a whole state is on disk."""
    accelerator, rows = run.accelerator, run.history.rows
    fresh, before = output / "unfinished_state", _states(output)
    if accelerator.is_main_process:
        shutil.rmtree(fresh, ignore_errors=True)
        if best_row(rows) is rows[-1]:
            weights = {k: v.contiguous() for k, v in run.ema.module.state_dict().items()}
            save_file(weights, output / f"{BEST_WEIGHTS_FILE}.new")
            os.replace(output / f"{BEST_WEIGHTS_FILE}.new", output / BEST_WEIGHTS_FILE)
    accelerator.wait_for_everyone()
    accelerator.save_state(str(fresh))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        os.replace(fresh, output / f"{STATE_PREFIX}{len(rows):04d}")
        for state in before:
            shutil.rmtree(state)
        run.history.write(output / HISTORY_FILE)
    accelerator.wait_for_everyone()


def _states(output: Path) -> list[Path]:
    """Return the saved states, the latest last; there is more than one only after a kill."""
    return sorted(output.glob(f"{STATE_PREFIX}*"))


def _report(run: Run) -> None:
    row = run.history.rows[-1]
    if run.accelerator.is_main_process:
        logger.info(
            "epoch %3d/%d  %3d px  lr %.1e  train loss %.3f  val loss %.3f  val acc %.4f  "
            "%5.0f images/s",
            row["epoch"],
            run.config.epochs,
            row["image_size"],
            row["learning_rate"],
            row["train_loss"],
            row["validation_loss"],
            row["validation_accuracy"],
            row["images_per_second"],
        )
