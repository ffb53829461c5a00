"""What decides a training run besides its data: TrainConfig and the two recipes.

`train_hub.py` makes its options from the fields and takes the defaults from here; `loop.py`
follows it; it is saved with the run and stands in the checkpoint's `metrics.json`.
"""

from dataclasses import dataclass

ARCHITECTURE = "resnet50"
# What `init` can be for any architecture; a checkpoint has one of its own.
FRESH = ("scratch", "imagenet")


@dataclass(frozen=True)
class TrainConfig:
    """Everything that decides a run's result but the data; by default from scratch.

    The defaults join what the runs behind the embedded checkpoint had in common or found better
    (`benchmarks/ablations.md`). As one run, with votes, they are `scratch64` in
    `benchmarks/recipes.md`: less accurate than those six runs one after the other, whose commands
    are on the checkpoint's card, but more accurate on faces with glasses or in little light
    (`benchmarks/hard_faces.md`).

    `batch_size` is that of all processes together. `image_sizes` are the sides in pixels of the
    network's input, each for the share of the epochs that stands beside it in `image_size_shares`:
    small pictures teach the rough features several times faster (progressive resizing, Tan & Le
    2021, arXiv 2104.00298); the last size is the checkpoint's. `layer_decay` multiplies the
    learning rate once for each layer that lies further from the classifier. During `frozen_epochs`
    only the classifier learns. `vote_share` is how much of a training target FER+'s votes decide,
    where a run is given them. `limit` keeps that many training images.
    """

    init: str = "scratch"
    architecture: str = ARCHITECTURE
    epochs: int = 64
    batch_size: int = 64
    optimizer: str = "adamw"
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    layer_decay: float | None = None
    warmup_share: float = 0.1
    frozen_epochs: int = 0
    image_sizes: tuple[int, ...] = (32, 48, 64, 96)
    image_size_shares: tuple[float, ...] = (0.11, 0.2, 0.42, 0.27)
    augmentation: float = 0.8
    erasing: float = 0.1
    mixup: float = 0.0
    label_smoothing: float = 0.0
    vote_share: float = 0.25
    ema_decay: float = 0.998
    clip_norm: float = 5.0
    limit: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        positive = ("epochs", "batch_size", "learning_rate", "clip_norm")
        for name in positive:
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be above 0, not {getattr(self, name)}.")
        for name in ("erasing", "label_smoothing", "vote_share", "warmup_share"):
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
        """Return the recipe for "scratch", or the fine-tuning one for any other `init`."""
        recipe = {} if init == "scratch" else FINE_TUNING
        return cls(**{"init": init, **recipe, **overrides})

    def image_size_at(self, epoch: int) -> int:
        """Return the side of the network's input in pixels for an epoch, counted from 0."""
        total, done = sum(self.image_size_shares), 0.0
        for size, share in zip(self.image_sizes, self.image_size_shares, strict=True):
            done += share / total * self.epochs
            if epoch < min(round(done), self.epochs - 1):
                return size
        return self.image_sizes[-1]


def option_names(field: str) -> list[str]:
    """Return the command line's names for a field of TrainConfig."""
    short = {"learning_rate": ["--lr"], "architecture": ["--arch"]}
    return [f"--{field.replace('_', '-')}", *short.get(field, [])]


# Eight epochs after the notebook that this project grew from: the classifier first, then all layers
# with rates that fall towards the input. Not measured: the rate is the one that `find-lr` is for.
FINE_TUNING = dict(
    epochs=8,
    batch_size=64,
    learning_rate=1e-3,
    layer_decay=0.7,
    frozen_epochs=1,
    image_sizes=(96,),
    image_size_shares=(1.0,),
)
