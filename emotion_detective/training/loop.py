"""The training run: a DatasetDict and a TrainConfig in, the best weights and their history out.

`train` reads as one story: prepare, epochs, best weights. Images lie on the device as uint8, are
augmented there in batches, and pass through the network in bfloat16 where the hardware has it.
Parts come from timm (optimiser, schedule, loss, EMA), torchvision (mixup, which timm has for single
labels only) and Accelerate (devices, processes, state). Everything random in an epoch follows from
the seed, the first weights and the epoch's number, and after each the whole state is written, or
after some where epochs are short (`run_folder.py`): a run that was killed goes on to the same
result. Knows no Hub; run it with `train_hub.py train`.
"""

import logging
import math
import time
import zlib
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import torch
from accelerate import Accelerator, PartialState
from accelerate.utils import (
    DataLoaderConfiguration,
    DistributedDataParallelKwargs,
    broadcast,
    set_seed,
)
from safetensors.torch import load_file
from timm.loss import SoftTargetCrossEntropy
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import nn
from torch.nn.functional import cross_entropy
from torchvision.transforms import v2
from tqdm.auto import tqdm

from emotion_detective.inference.model import LABELS
from emotion_detective.training import data, machine, run_folder, targets
from emotion_detective.training.augment import augment, normalize, to_float
from emotion_detective.training.networks import create_network
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run_folder import History, best_row

logger = logging.getLogger(__name__)

EVALUATION_BATCH = 256
# torch's own, which can update a weight in one pass over the memory: less than half the time of
# the default on a CPU.
FUSED_OPTIMIZERS = ("adam", "adamw", "sgd")
# Warming up begins with the learning rate divided by this, as in fastai's one-cycle schedule.
WARMUP_DIVISOR = 25
# What guessing costs: a run whose loss stands here at the end has learned nothing.
GUESSING_LOSS = math.log(len(LABELS))


@dataclass
class Run:
    """What the epochs of a run share; tensors are on the device, loaders yield indices.

    `targets` `(N, 6)` are probabilities, those of the training images. `seed` decides batches and
    augmentation.
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
    mix: nn.Module
    history: History
    seed: int


def train(
    config: TrainConfig,
    parts: datasets.DatasetDict,
    output: Path,
    *,
    resume: bool = False,
    compile_network: bool = False,
) -> tuple[nn.Module, list[dict]]:
    """Train and return the network with the weights of its best epoch, and the rows of all epochs.

    Writes `train_config.json`, `metrics.jsonl`, the state of the last epoch and the EMA weights of
    the best one into `output`. In several processes every one returns the same.

    Raises:
        ValueError: `output` holds another run, `resume` finds none, a finished one, or one of
            another recipe or data, its votes or its teacher cannot be used, or an epoch cannot be
            written.
    """
    accelerator = _accelerator(config)
    learned_from = {f"{name}_images": len(part) for name, part in parts.items()}
    learned_from |= targets.describe_sources(config)
    run_folder.claim(accelerator, config.recorded(), learned_from, output, resume)
    run = prepare(config, parts, accelerator, compile_network, output)
    if resume:
        run_folder.restore(accelerator, output)
    unwritten: dict[str, torch.Tensor] = {}
    pace = run_folder.Pace()
    for epoch in range(len(run.history.rows), config.epochs):
        row = _train_epoch(run, epoch) | _validate(run, epoch)
        run.history.rows.append(row)
        if best_row(run.history.rows) is row:
            unwritten = _copy_of_weights(run.ema.module)
        if pace.is_due() or epoch + 1 == config.epochs:
            with pace.timed():
                run_folder.save_epoch(accelerator, run.history, unwritten, output)
            unwritten = {}
        _report(run)
    best = best_row(run.history.rows)
    network = accelerator.unwrap_model(run.network, keep_fp32_wrapper=False)
    network.load_state_dict(load_file(output / run_folder.BEST_WEIGHTS_FILE))
    if accelerator.is_main_process and best["validation_loss"] >= GUESSING_LOSS:
        logger.warning("The network learned nothing: try a lower --lr (train_hub.py find-lr).")
    return network.float().eval(), run.history.rows


def _copy_of_weights(network: nn.Module) -> dict[str, torch.Tensor]:
    """Return copies in plain memory order, as safetensors asks for."""
    return {
        name: value.clone(memory_format=torch.contiguous_format)
        for name, value in network.state_dict().items()
    }


def is_main_process() -> bool:
    """True in the one process that writes files and prints."""
    return PartialState().is_main_process


@torch.no_grad()
def predict_logits(
    network: nn.Module, split: datasets.Dataset, image_size: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Return float32 logits `(N, 6)` and labels `(N,)` of a split; moves the network to the CPU."""
    network.cpu().eval()
    images, labels = data.to_tensors(split, image_size)
    batches = images.split(EVALUATION_BATCH)
    return torch.cat([network(normalize(to_float(b, image_size))) for b in batches]), labels


def _accelerator(config: TrainConfig) -> Accelerator:
    return Accelerator(
        # Without this, processes that torchrun starts on a CPU would each train on their own.
        cpu=not torch.accelerator.is_available(),
        mixed_precision=machine.mixed_precision(),
        dataloader_config=DataLoaderConfiguration(use_seedable_sampler=True, non_blocking=True),
        # While the body is frozen its parameters get no gradient.
        kwargs_handlers=[
            DistributedDataParallelKwargs(find_unused_parameters=config.frozen_epochs > 0)
        ],
    )


def prepare(
    config: TrainConfig,
    parts: datasets.DatasetDict,
    accelerator: Accelerator | None = None,
    compile_network: bool = False,
    folder: Path | None = None,
) -> Run:
    """Return a run at its first step: network, optimiser, images on the device.

    The teacher's answers are kept in `folder`, or taken from it.
    """
    machine.keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # a GPU tries which convolution is the fastest
    accelerator = accelerator or _accelerator(config)
    set_seed(config.seed)
    device = accelerator.device
    network = create_network(config.architecture, config.init, config.drop_path)
    seed = _seed_of_epochs(config, network)
    set_seed(seed)  # the loader of the training images takes this one
    network = network.to(device, memory_format=torch.channels_last)
    ema = ModelEmaV3(network, decay=config.ema_decay, use_warmup=True)
    optimizer = create_optimizer_v2(
        network,
        opt=config.optimizer,
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
        **({"fused": True} if config.optimizer in FUSED_OPTIMIZERS else {}),
    )
    images, labels = {}, {}
    train_split = data.subset(parts["train"], config.limit, config.seed)
    splits = {"train": targets.leave_out_no_face(config, train_split)}
    splits["validation"] = parts["validation"]
    for name, split in splits.items():
        split_images, split_labels = data.to_tensors(split, config.image_sizes[-1])
        images[name], labels[name] = split_images.to(device), split_labels.to(device)
    with accelerator.main_process_first():  # it asks the teacher and writes, the others read
        taught = targets.ask_teacher(config, images["train"], folder, accelerator.autocast)
    loaders = _loaders(config, accelerator, len(images["train"]), len(images["validation"]))
    network, optimizer, loaders["train"], loaders["validation"] = accelerator.prepare(
        network, optimizer, loaders["train"], loaders["validation"]
    )
    history = History()
    accelerator.register_for_checkpointing(ema, history)
    return Run(
        config=config,
        accelerator=accelerator,
        network=network,
        forward=torch.compile(network, dynamic=False) if compile_network else network,
        ema=ema,
        optimizer=optimizer,
        scheduler=_scheduler(config, optimizer, config.epochs * len(loaders["train"])),
        images=images,
        labels=labels,
        targets=targets.make_targets(config, splits["train"], taught).to(device),
        loaders=loaders,
        mix=v2.MixUp(alpha=config.mixup) if config.mixup else nn.Identity(),
        history=history,
        seed=seed,
    )


def _seed_of_epochs(config: TrainConfig, network: nn.Module) -> int:
    """Return a seed below 2**31 that depends on the first weights as well.

    A run that goes on from another one with the same --seed must not repeat what that one drew.
    """
    weights = next(network.get_classifier().parameters()).detach().numpy().tobytes()
    mixed = np.random.SeedSequence([config.seed, zlib.crc32(weights)])
    return int(mixed.generate_state(1)[0]) >> 1


def _scheduler(
    config: TrainConfig, optimizer: torch.optim.Optimizer, updates: int
) -> CosineLRScheduler:
    return CosineLRScheduler(
        optimizer,
        t_initial=updates,
        warmup_t=int(config.warmup_share * updates),
        warmup_lr_init=config.learning_rate / WARMUP_DIVISOR,
        t_in_epochs=False,
    )


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
            # From such memory the indices reach a GPU while it computes.
            pin_memory=accelerator.device.type == "cuda",
        ),
        validation=torch.utils.data.DataLoader(
            range(validation_count), batch_size=EVALUATION_BATCH
        ),
    )


def _train_epoch(run: Run, epoch: int) -> dict:
    config, accelerator, loader = run.config, run.accelerator, run.loaders["train"]
    set_seed(run.seed + 1_000_003 * (epoch + 1), device_specific=True)
    loader.set_epoch(epoch)
    image_size = config.image_size_at(epoch)
    # The same in every process, so that none waits for one with larger images.
    sizes = np.random.default_rng([run.seed, epoch]).choice(
        config.batch_sizes_at(epoch), len(loader)
    )
    _freeze_body(accelerator.unwrap_model(run.network), epoch < config.frozen_epochs)
    run.network.train()
    update = epoch * len(loader)
    loss_sum = torch.zeros((), device=accelerator.device)
    begin = time.perf_counter()
    bar = tqdm(
        zip(loader, sizes.tolist(), strict=True),
        total=len(loader),
        desc=f"epoch {epoch + 1}/{config.epochs} at {image_size} px",
        disable=not accelerator.is_main_process,
        leave=False,
    )
    for indices, side in bar:
        run.scheduler.step_update(update)
        loss_sum += step(run, indices, side, config.augmentation_at(epoch))
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


def step(run: Run, indices: torch.Tensor, image_size: int, strength: float) -> torch.Tensor:
    """Learn from one batch of training images; return its loss, a scalar on the device."""
    with torch.no_grad():
        faces = to_float(run.images["train"][indices], image_size)
        inputs = augment(faces, strength, run.config.erasing)
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
    # Batch normalisation counts what its own process saw; one network is validated and kept.
    broadcast(list(run.ema.module.buffers()))
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
