"""A recipe and its data -> a run at its first step: network, optimiser, images on the device.

Images lie on the device as uint8. Optimiser, schedule and EMA are timm's; devices, processes and
state are Accelerate's. `loop.py` trains what `prepare` returns.
"""

import logging
import zlib
from dataclasses import dataclass

import datasets
import torch
from accelerate import Accelerator
from accelerate.utils import DataLoaderConfiguration, set_seed
from timm.optim import create_optimizer_v2
from timm.scheduler import CosineLRScheduler
from timm.utils import ModelEmaV3
from torch import nn
from torch.utils.data import DataLoader

from emotion_detective import LABELS, data
from emotion_detective.evaluation import votes
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
    are what the voters see on validation images; None without votes. `seed` decides batches and
    augmentation.
    """

    config: TrainConfig
    accelerator: Accelerator
    network: nn.Module
    ema: ModelEmaV3
    optimizer: torch.optim.Optimizer
    scheduler: CosineLRScheduler
    images: dict[str, torch.Tensor]
    labels: dict[str, torch.Tensor]
    targets: dict[str, torch.Tensor]
    majorities: torch.Tensor | None
    loaders: dict[str, DataLoader]
    seed: int


def create_accelerator() -> Accelerator:
    """Return the accelerator of a run: its device, its processes, bfloat16 where it is fast."""
    return Accelerator(
        # Without this, processes that torchrun starts on a CPU would each train on their own.
        cpu=not torch.accelerator.is_available(),
        mixed_precision=machine.mixed_precision(),
        dataloader_config=DataLoaderConfiguration(
            split_batches=True, use_seedable_sampler=True, non_blocking=True
        ),
    )


def prepare(
    config: TrainConfig, parts: datasets.DatasetDict, accelerator: Accelerator | None = None
) -> Run:
    """Return a run at its first step."""
    machine.keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # a GPU picks the fastest of its convolutions
    accelerator = accelerator or create_accelerator()
    set_seed(config.seed)
    network = create_network(config.architecture, config.init, config.drop_path)
    # A run that goes on from another with the same seed must not draw the same again.
    weights = next(network.get_classifier().parameters()).detach().numpy()
    seed = zlib.crc32(weights, config.seed) >> 1
    set_seed(seed)  # for the loader of the training images
    network = network.to(accelerator.device, memory_format=torch.channels_last)
    ema = ModelEmaV3(network, decay=config.ema_decay, use_warmup=True)
    optimizer = create_optimizer_v2(
        network,
        opt="adamw",
        lr=config.learning_rate,
        weight_decay=config.weight_decay,
        layer_decay=config.layer_decay,
        fused=True,  # one pass over the memory: less than half the time on a CPU
    )
    learned = _load_images(config, parts, accelerator)
    counts = {name: len(images) for name, images in learned["images"].items()}
    # Indices in pinned memory are copied to a GPU while it computes.
    options = dict(shuffle=True, drop_last=True, pin_memory=accelerator.device.type == "cuda")
    network, optimizer, train, validation = accelerator.prepare(
        network,
        optimizer,
        DataLoader(range(counts["train"]), min(config.batch_size, counts["train"]), **options),
        DataLoader(range(counts["validation"]), EVALUATION_BATCH * accelerator.num_processes),
    )
    accelerator.register_for_checkpointing(ema)
    updates = config.epochs * len(train)
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
        ema=ema,
        optimizer=optimizer,
        scheduler=scheduler,
        loaders=dict(train=train, validation=validation),
        seed=seed,
        **learned,
    )


def _load_images(
    config: TrainConfig, parts: datasets.DatasetDict, accelerator: Accelerator
) -> dict[str, dict[str, torch.Tensor] | torch.Tensor | None]:
    """Return the run's `images`, `labels`, `targets` and `majorities`."""
    train, validation = (
        data.subset(parts[name], config.limit, config.seed) for name in ("train", "validation")
    )
    train = targets.leave_out_no_face(config, train)
    images, labels, wanted = {}, {}, {}
    for name, split in (("train", train), ("validation", validation)):
        # A teacher may be far from labels and voters: validation is held against these alone.
        distilled = targets.ask_teacher(config, split) if name == "train" else None
        tensors = data.to_tensors(split, config.image_sizes[-1])
        images[name], labels[name] = (tensor.to(accelerator.device) for tensor in tensors)
        wanted[name] = targets.make_targets(config, split, distilled).to(accelerator.device)
    wanted["train"] *= _weigh_classes(config, labels["train"])
    majorities = None
    if config.votes is not None:
        counted = votes.read_votes(config.votes, validation["file"])
        majorities = torch.from_numpy(counted.majority).to(accelerator.device)
    return dict(images=images, labels=labels, targets=wanted, majorities=majorities)


def _weigh_classes(config: TrainConfig, labels: torch.Tensor) -> torch.Tensor:
    """Return `(N, 1)` weights of the training images, 1 on average; warn of rare classes."""
    counts = torch.bincount(labels, minlength=len(LABELS))
    if config.class_weights:
        return (len(labels) / ((counts > 0).sum() * counts))[labels, None]
    rarest, most = counts.min().item(), counts.max().item()
    if most >= UNEQUAL * rarest:
        logger.warning(
            f"train has {most} images of {LABELS[counts.argmax()]} and {rarest} of "
            f"{LABELS[counts.argmin()]}, which will hardly be learned: find more of them, or add "
            "--class-weights."
        )
    return torch.ones(len(labels), 1, device=labels.device)
