"""A recipe and its data -> a run at its first step: network, optimiser, images on the device.

Images lie on the device as uint8. Optimiser, schedule and EMA are timm's; devices, processes and
state are Accelerate's. `loop.py` trains what `prepare` returns.
"""

import logging
import zlib
from dataclasses import dataclass

import datasets
import numpy as np
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, DistributedDataParallelKwargs, set_seed
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import nn

from emotion_detective import LABELS, data
from emotion_detective.training import machine, targets
from emotion_detective.training.networks import create_network
from emotion_detective.training.recipe import TrainConfig

logger = logging.getLogger(__name__)

EVALUATION_BATCH = 256
# Where a class has so many times the images of another, the rare one is hardly learned.
UNEQUAL = 10
# Warm-up begins at the learning rate divided by this, as in fastai's one-cycle schedule.
WARMUP_DIVISOR = 25


@dataclass
class Run:
    """What the epochs of a run share; tensors are on the device, loaders yield indices.

    `images` are `(N, 1, S, S)` uint8, `labels` `(N,)` and `targets` `(N, 6)` probabilities of train
    and validation, those of train times the weight of their class. `majorities`, `(N,)` indices,
    are what the voters see on validation images; None without votes. `forward` is the network,
    compiled or not. `seed` decides batches and augmentation.
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
    targets: dict[str, torch.Tensor]
    majorities: torch.Tensor | None
    loaders: dict[str, torch.utils.data.DataLoader]
    seed: int


def create_accelerator(config: TrainConfig) -> Accelerator:
    """Return the accelerator of a run: its device, its processes, bfloat16 where it is fast."""
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
) -> Run:
    """Return a run at its first step."""
    machine.keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # a GPU picks the fastest of its convolutions
    accelerator = accelerator or create_accelerator(config)
    set_seed(config.seed)
    device = accelerator.device
    network = create_network(config.architecture, config.init, config.drop_path)
    seed = _derive_seed(config, network)
    set_seed(seed)  # for the loader of the training images
    network = network.to(device, memory_format=torch.channels_last)
    ema = ModelEmaV3(network, decay=config.ema_decay, use_warmup=True)
    optimizer = create_optimizer_v2(
        network,
        opt="adamw",
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
        fused=True,  # one pass over the memory: less than half the time on a CPU
    )
    images, labels = {}, {}
    train_split = data.subset(parts["train"], config.limit, config.seed)
    splits = {"train": targets.leave_out_no_face(config, train_split)}
    splits["validation"] = data.subset(parts["validation"], config.limit, config.seed)
    for name, split in splits.items():
        split_images, split_labels = data.to_tensors(split, config.image_sizes[-1])
        images[name], labels[name] = split_images.to(device), split_labels.to(device)
    distilled = targets.ask_teacher(config, images["train"], accelerator.autocast)
    wanted = {
        "train": targets.make_targets(config, splits["train"], distilled).to(device)
        * _weigh_classes(config, labels["train"], accelerator.is_main_process),
        # What is learned, without the teacher, who may be far from both labels and voters.
        "validation": targets.make_targets(config, splits["validation"], None).to(device),
    }
    loaders = _create_loaders(config, accelerator, len(images["train"]), len(images["validation"]))
    network, optimizer, loaders["train"], loaders["validation"] = accelerator.prepare(
        network, optimizer, loaders["train"], loaders["validation"]
    )
    accelerator.register_for_checkpointing(ema)
    updates = config.epochs * len(loaders["train"])
    scheduler = CosineLRScheduler(
        optimizer,
        t_initial=updates,
        warmup_t=int(config.warmup_share * updates),
        warmup_lr_init=config.learning_rate / WARMUP_DIVISOR,
        t_in_epochs=False,
    )
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
        targets=wanted,
        majorities=targets.find_majorities(config, splits["validation"], device),
        loaders=loaders,
        seed=seed,
    )


def _derive_seed(config: TrainConfig, network: nn.Module) -> int:
    """Return a seed below 2**31 that depends on the first weights as well.

    A run that goes on from another run with the same seed must not draw the same again.
    """
    weights = next(network.get_classifier().parameters()).detach().numpy().tobytes()
    mixed = np.random.SeedSequence([config.seed, zlib.crc32(weights)])
    return int(mixed.generate_state(1)[0]) >> 1


def _weigh_classes(config: TrainConfig, labels: torch.Tensor, warn: bool) -> torch.Tensor:
    """Return `(N, 1)` weights of the training images, 1 on average; warn of rare classes."""
    counts = torch.bincount(labels, minlength=len(LABELS))
    if config.class_weights:
        return (len(labels) / ((counts > 0).sum() * counts))[labels, None]
    rarest, most = counts.min().item(), counts.max().item()
    if warn and most >= UNEQUAL * rarest:
        logger.warning(
            f"train has {most} images of {LABELS[counts.argmax()]} and {rarest} of "
            f"{LABELS[counts.argmin()]}, which will hardly be learned: find more of them, or add "
            "--class-weights."
        )
    return torch.ones(len(labels), 1, device=labels.device)


def _create_loaders(
    config: TrainConfig, accelerator: Accelerator, train_count: int, validation_count: int
) -> dict[str, torch.utils.data.DataLoader]:
    """Return loaders of indices: the images lie on the device."""
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
            # Indices in pinned memory are copied to a GPU while it computes.
            pin_memory=accelerator.device.type == "cuda",
        ),
        validation=torch.utils.data.DataLoader(
            range(validation_count), batch_size=EVALUATION_BATCH
        ),
    )
