"""All settings of a training run besides its data: TrainConfig and the two recipes.

`train_hub.py` makes its options and their defaults from the fields; `run.py` and `loop.py` follow
them; the run and the checkpoint's `metrics.json` record them.
"""

import dataclasses
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ARCHITECTURE = "resnet50"
# Values of `init` for any architecture; a checkpoint has one of its own.
FRESH = ("scratch", "imagenet")
# The last fraction of a run has weak augmentation: the faces of users are not augmented.
LATE_FRACTION = 0.1
# Fields that name a file, a folder or a repository.
PLACES = ("init", "votes", "teacher")
# Fields between 0 and 1.
FRACTIONS = ("erasing", "label_smoothing", "vote_share", "teacher_share", "warmup_share")
# A batch's side is a multiple of this many pixels.
SIDE_STEP = 8
# Settings that training has no more, with the value it now always has: records may hold them.
RETIRED = {"mixup": 0.0, "optimizer": "adamw", "frozen_epochs": 0}
# Settings that older records lack, with the value that training had then.
ADDED = {"class_weights": False}
# A batch leaves so many steps an epoch, and has no fewer images for batch normalisation.
STEPS_AN_EPOCH, SMALLEST_BATCH = 20, 16


def _setting(default: Any, meaning: str) -> Any:
    """Return a field of TrainConfig; `--help` prints its meaning."""
    return dataclasses.field(default=default, metadata={"meaning": meaning})


@dataclass(frozen=True)
class TrainConfig:
    """All settings that decide the result of a run besides its data; by default from scratch.

    The defaults are one long run from random weights: ten minutes of an H100, ten hours of two
    cores. They are those of `scratch83` and `restart68` in `benchmarks/recipes.md`, which are as
    long together; every run so far was better for being longer.
    """

    init: str = _setting("scratch", "imagenet, scratch (random weights) or a checkpoint")
    architecture: str = _setting(ARCHITECTURE, "a network of timm")
    epochs: int = _setting(150, "passes over the training images")
    batch_size: int = _setting(256, "images a step; fewer where the data are few")
    learning_rate: float = _setting(2e-3, "the highest rate, after the warm-up")
    weight_decay: float = _setting(0.1, "how strongly AdamW pulls the weights towards 0")
    layer_decay: float | None = _setting(None, "factor of the rate from each layer to the next")
    warmup_share: float = _setting(0.05, "fraction of the run in which the rate rises")
    # Small images teach the coarse features several times faster (progressive resizing, Tan & Le
    # 2021, arXiv 2104.00298).
    image_sizes: tuple[int, ...] = _setting(
        (64, 96), "sides in pixels; the checkpoint has the last"
    )
    image_size_shares: tuple[float, ...] = _setting((0.3, 0.7), "fraction of the epochs of each")
    # Users have faces of other sizes.
    size_spread: float = _setting(0.17, "fraction by which batches differ from the last size")
    augmentation: float = _setting(0.7, "strength of the augmentation, 0 for mirroring only")
    late_augmentation: float = _setting(0.3, "its strength in the last tenth of the run")
    erasing: float = _setting(0.1, "probability that a rectangle of an image is blanked")
    label_smoothing: float = _setting(0.0, "fraction of each target spread over all labels")
    votes: str | None = _setting(None, "CSV of FER+'s votes, as join-votes writes it")
    vote_share: float = _setting(0.65, "fraction of each target that is the voters' distribution")
    teacher: str | None = _setting(None, "checkpoint whose predictions are distilled")
    teacher_share: float = _setting(0.5, "fraction of each target that the teacher predicts")
    # Stochastic depth (Huang et al. 2016, arXiv 1603.09382); timm takes 0.05 for a ResNet-50 that
    # sees its images 300 times and more (Wightman et al. 2021, arXiv 2110.00476).
    drop_path: float = _setting(0.05, "probability that an image skips the last block")
    ema_decay: float = _setting(0.999, "memory of the moving average of the weights, which is kept")
    clip_norm: float = _setting(5.0, "largest norm of the gradient")
    class_weights: bool = _setting(False, "let rare classes weigh as much as frequent ones")
    limit: int | None = _setting(None, "train and validate on so many images, drawn at random")
    seed: int = _setting(0, "decides everything random")

    def __post_init__(self) -> None:
        for name in ("epochs", "batch_size", "learning_rate", "clip_norm", "limit"):
            if (value := getattr(self, name)) is not None and not value > 0:
                raise ValueError(f"{name} must be above 0, not {value}.")
        for name in FRACTIONS:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a fraction of 1, not {getattr(self, name)}.")
        if len(self.image_sizes) != len(self.image_size_shares):
            raise ValueError(
                f"image_sizes has {len(self.image_sizes)} and image_size_shares "
                f"{len(self.image_size_shares)} entries: they go together."
            )
        if min(self.image_size_shares) < 0 or not sum(self.image_size_shares) > 0:
            raise ValueError("image_size_shares must be 0 or more, and one of them above 0.")

    @classmethod
    def for_init(cls, init: str, **overrides) -> "TrainConfig":
        """Return the recipe for "scratch", or FINE_TUNING for any other `init`."""
        for fraction, source in (("vote_share", "votes"), ("teacher_share", "teacher")):
            if fraction in overrides and not overrides.get(source):
                (option, *_), (of, *_) = option_names(fraction), option_names(source)
                raise ValueError(f"{option} is the fraction of what {of} names: name it as well.")
        recipe = {} if init == "scratch" else FINE_TUNING
        return cls(**{"init": init, **recipe, **overrides})

    def for_images(self, count: int) -> "TrainConfig":
        """Return the recipe with a batch for `count` training images, and a rate for the batch.

        A smaller batch has a noisier gradient; AdamW's rate follows the root of its size (Malladi
        et al. 2022, arXiv 2205.10287).
        """
        batch_size = max(SMALLEST_BATCH, min(self.batch_size, count // STEPS_AN_EPOCH))
        if batch_size >= self.batch_size:
            return self
        rate = self.learning_rate * math.sqrt(batch_size / self.batch_size)
        return dataclasses.replace(self, batch_size=batch_size, learning_rate=float(f"{rate:.1e}"))

    def recorded(self) -> dict:
        """Return the fields as plain values, of files and folders only their names.

        A path says something of this machine, and could pass for a Hub id.
        """
        names = {
            name: Path(value).name
            for name in PLACES
            if (value := getattr(self, name)) is not None and Path(value).exists()
        }
        return dataclasses.asdict(self) | names

    def image_size_at(self, epoch: int) -> int:
        """Return the side of the network's input in pixels for an epoch, counted from 0."""
        total, done = sum(self.image_size_shares), 0.0
        for size, fraction in zip(self.image_sizes, self.image_size_shares, strict=True):
            done += fraction / total * self.epochs
            if epoch < min(round(done), self.epochs - 1):
                return size
        return self.image_sizes[-1]

    def batch_sizes_at(self, epoch: int) -> list[int]:
        """Return the sides in pixels from which each batch of an epoch takes one."""
        size = self.image_size_at(epoch)
        # Few sides: a GPU picks its convolutions anew for each.
        is_last = size == self.image_sizes[-1]
        steps = int(self.size_spread * size / SIDE_STEP) if is_last else 0
        return [size + SIDE_STEP * step for step in range(-steps, steps + 1)]

    def augmentation_at(self, epoch: int) -> float:
        """Return the strength of the augmentation in an epoch, counted from 0."""
        late = epoch >= self.epochs - round(LATE_FRACTION * self.epochs)
        return self.late_augmentation if late else self.augmentation


def read_recipe(path: Path, given: dict) -> TrainConfig:
    """Return the recipe of a run from its record, with the fields in `given` changed.

    The record is a checkpoint's `metrics.json` or a run's `train_config.json`.
    """
    try:
        record = json.loads(path.read_text())
        recorded = record["training"]["config"] if "training" in record else record["config"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} is no record of a training run: name a checkpoint's metrics.json."
        ) from error
    settings = ADDED | {n: v for n, v in recorded.items() if n not in RETIRED or v != RETIRED[n]}
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    if gone := sorted(settings.keys() - known):
        raise ValueError(f"{path} has the settings {', '.join(gone)}, which training has no more.")
    if missing := sorted(known - settings.keys() - given.keys()):
        options = ", ".join(option_names(name)[0] for name in missing)
        raise ValueError(f"{path} does not say {', '.join(missing)}: give {options}.")
    absent = [name for name in PLACES if name not in given and not _is_here(settings[name])]
    if absent:
        raise ValueError(
            f"{path} records a run with {', '.join(f'{n} {settings[n]!r}' for n in absent)}: not "
            f"here. Give {', '.join(option_names(name)[0] for name in absent)}, for example --init "
            "models/emotion-detective-resnet50 --votes none --teacher none."
        )
    settings = {n: tuple(v) if isinstance(v, list) else v for n, v in settings.items()}
    return TrainConfig(**settings | given)


def _is_here(place: str | None) -> bool:
    """True for what training can read: a record has only the names of files and folders."""
    return place is None or place in FRESH or "/" in place or Path(place).exists()


def option_names(field: str) -> list[str]:
    """Return the command line's options for a field of TrainConfig."""
    short = {"learning_rate": ["--lr"], "architecture": ["--arch"]}
    return [f"--{field.replace('_', '-')}", *short.get(field, [])]


# `train --quick`: a first try, from the embedded weights, that takes minutes on a CPU.
QUICK = dict(epochs=5, learning_rate=3e-4, limit=1000, size_spread=0.0)
# All layers learn at rates that fall towards the input. Size, augmentation and length are those of
# the last third of a run from scratch. The rate was not measured: `find-lr` suggests one.
FINE_TUNING = dict(
    epochs=50,
    learning_rate=1e-3,
    layer_decay=0.7,
    drop_path=0.0,
    image_sizes=(96,),
    image_size_shares=(1.0,),
)
