"""All settings of a training run besides its data: TrainConfig and the two recipes.

`train_hub.py` makes its options and their defaults from the fields; `run.py` and `loop.py` follow
them; the run and the checkpoint's `metrics.json` record them.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path

ARCHITECTURE = "resnet50"
# Values of `init` for any architecture; a checkpoint has one of its own.
FRESH = ("scratch", "imagenet")
# Share of a run, at its end, with weak augmentation: the faces of users are not augmented.
LATE_SHARE = 0.1
# Fields between 0 and 1.
SHARES = ("erasing", "label_smoothing", "vote_share", "teacher_share", "warmup_share")
# A batch's side is a multiple of this many pixels.
SIDE_STEP = 8


@dataclass(frozen=True)
class TrainConfig:
    """All settings that decide the result of a run besides its data; by default from scratch.

    The defaults are one long run from random weights: ten minutes of an H100, ten hours of two
    cores. Rate, batch and sizes are those of the runs `scratch83` and `restart68` of
    `benchmarks/recipes.md`, which are as long together; every run so far was better for being
    longer, and published ones take 250 to 300 epochs. Single settings: `benchmarks/ablations.md`.

    `batch_size` counts the images of all processes. `image_sizes` are the sides in pixels of the
    network's input, each for its share of the epochs in `image_size_shares`: small images teach the
    coarse features several times faster (progressive resizing, Tan & Le 2021, arXiv 2104.00298);
    the last size is the checkpoint's. At that size each batch has a side of its own, smaller or
    larger by the share `size_spread` at most, as users have faces of other sizes. `layer_decay`
    multiplies the learning rate once for each layer between the classifier and the one that learns.
    During `frozen_epochs` only the classifier learns. `augmentation` is the strength of the
    augmentation, `late_augmentation` that of the last tenth. Of a target `teacher_share` is the
    answer of the checkpoint `teacher`, and of the rest `vote_share` comes from FER+'s votes, in the
    CSV `votes`. `limit` is the number of training images. `drop_path` is the probability that an
    image skips the last block, with lower ones for those before it (stochastic depth, Huang et al.
    2016, arXiv 1603.09382); timm takes 0.05 for a ResNet-50 that sees its images 300 times and more
    (Wightman et al. 2021, arXiv 2110.00476).

    Raises:
        ValueError: a field is out of its range, or two contradict each other.
    """

    init: str = "scratch"
    architecture: str = ARCHITECTURE
    epochs: int = 150
    batch_size: int = 256
    optimizer: str = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 0.1
    layer_decay: float | None = None
    warmup_share: float = 0.05
    frozen_epochs: int = 0
    image_sizes: tuple[int, ...] = (64, 96)
    image_size_shares: tuple[float, ...] = (0.3, 0.7)
    size_spread: float = 0.17
    augmentation: float = 0.7
    late_augmentation: float = 0.3
    erasing: float = 0.1
    mixup: float = 0.0
    label_smoothing: float = 0.0
    votes: str | None = None
    vote_share: float = 0.25
    teacher: str | None = None
    teacher_share: float = 0.5
    drop_path: float = 0.05
    ema_decay: float = 0.999
    clip_norm: float = 5.0
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "learning_rate", "clip_norm")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}.")
        for name in SHARES:
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} is a share of 1, not {getattr(self, name)}.")
        if len(self.image_sizes) != len(self.image_size_shares):
            raise ValueError(
                f"image_sizes has {len(self.image_sizes)} and image_size_shares "
                f"{len(self.image_size_shares)} entries: they go together."
            )
        if min(self.image_size_shares) < 0 or not sum(self.image_size_shares) > 0:
            raise ValueError("image_size_shares must be 0 or more, and one of them above 0.")
        if self.limit is not None and self.limit < 1:
            raise ValueError(f"limit must be 1 or more, not {self.limit}.")
        if not 0 <= self.frozen_epochs < self.epochs:
            raise ValueError(
                f"frozen_epochs is {self.frozen_epochs}: it must be below epochs, {self.epochs}."
            )

    @classmethod
    def for_init(cls, init: str, **overrides) -> "TrainConfig":
        """Return the recipe for "scratch", or FINE_TUNING for any other `init`.

        Raises:
            ValueError: there is a share of votes or of a teacher, but no votes or teacher.
        """
        for share, source in (("vote_share", "votes"), ("teacher_share", "teacher")):
            if share in overrides and not overrides.get(source):
                (option, *_), (of, *_) = option_names(share), option_names(source)
                raise ValueError(f"{option} is the share of what {of} names: name it as well.")
        recipe = {} if init == "scratch" else FINE_TUNING
        if "epochs" in overrides and recipe:  # a run of one epoch has none to spare
            recipe = recipe | {
                "frozen_epochs": min(recipe["frozen_epochs"], overrides["epochs"] - 1)
            }
        return cls(**{"init": init, **recipe, **overrides})

    def recorded(self) -> dict:
        """Return the fields as plain values, with only the names of files and folders.

        A path would tell of this machine, and could pass for a Hub id.
        """
        names = {
            name: Path(value).name
            for name in ("init", "votes", "teacher")
            if (value := getattr(self, name)) is not None and Path(value).exists()
        }
        return dataclasses.asdict(self) | names

    def image_size_at(self, epoch: int) -> int:
        """Return the side of the network's input in pixels for an epoch, counted from 0."""
        total, done = sum(self.image_size_shares), 0.0
        for size, share in zip(self.image_sizes, self.image_size_shares, strict=True):
            done += share / total * self.epochs
            if epoch < min(round(done), self.epochs - 1):
                return size
        return self.image_sizes[-1]

    def batch_sizes_at(self, epoch: int) -> list[int]:
        """Return the sides in pixels that the batches of an epoch are drawn from."""
        size = self.image_size_at(epoch)
        # Few sides: torch.compile compiles the network for each.
        is_last = size == self.image_sizes[-1]
        steps = int(self.size_spread * size / SIDE_STEP) if is_last else 0
        return [size + SIDE_STEP * step for step in range(-steps, steps + 1)]

    def augmentation_at(self, epoch: int) -> float:
        """Return the strength of the augmentation in an epoch, counted from 0."""
        late = epoch >= self.epochs - round(LATE_SHARE * self.epochs)
        return self.late_augmentation if late else self.augmentation


def read_recipe(path: Path, given: dict) -> TrainConfig:
    """Return the recipe of a run from its record, with the fields in `given` changed.

    The record is a checkpoint's `metrics.json` or a run's `train_config.json`.

    Raises:
        ValueError: the file is no record, or one with other settings than today's.
    """
    try:
        record = json.loads(path.read_text())
        recorded = record["training"]["config"] if "training" in record else record["config"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise ValueError(
            f"{path} is no record of a training run: name a checkpoint's metrics.json."
        ) from error
    known = {field.name for field in dataclasses.fields(TrainConfig)}
    if gone := sorted(recorded.keys() - known):
        raise ValueError(f"{path} has the settings {', '.join(gone)}, which training has no more.")
    if missing := sorted(known - recorded.keys() - given.keys()):
        options = ", ".join(option_names(name)[0] for name in missing)
        raise ValueError(f"{path} does not say {', '.join(missing)}: give {options}.")
    settings = {name: tuple(v) if isinstance(v, list) else v for name, v in recorded.items()}
    return TrainConfig(**settings | given)


def option_names(field: str) -> list[str]:
    """Return the command line's options for a field of TrainConfig."""
    short = {"learning_rate": ["--lr"], "architecture": ["--arch"]}
    return [f"--{field.replace('_', '-')}", *short.get(field, [])]


# As in the notebook that this project grew from, the classifier learns first, then all layers at
# rates that fall towards the input. Size, augmentation and length are those of the last third of a
# run from scratch. The rate was not measured: `find-lr` suggests one.
FINE_TUNING = dict(
    epochs=50,
    learning_rate=1e-3,
    layer_decay=0.7,
    frozen_epochs=1,
    drop_path=0.0,
    image_sizes=(96,),
    image_size_shares=(1.0,),
)
