"""The targets of a training run: `(N, 6)` probabilities for the training images.

A target is the label, moved towards FER+'s votes (`votes.py`), a teacher's answers and an even
distribution. Called by `run.py`.
"""

import logging
import zlib
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import datasets
import numpy as np
import torch
from safetensors.torch import load_file, save_file
from torch.nn.functional import one_hot

from emotion_detective import LABELS
from emotion_detective.core.checkpoint import write_whole
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.loading import load_classifier
from emotion_detective.evaluation import votes
from emotion_detective.training.augment import to_float
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run_folder import TEACHER_FILE

logger = logging.getLogger(__name__)

TEACHER_BATCH = 256


def leave_out_no_face(config: TrainConfig, split: datasets.Dataset) -> datasets.Dataset:
    """Return the split without the images that most voters call no face; log their number."""
    if config.votes is None:
        return split
    seen = np.flatnonzero(~votes.sees_no_face(config.votes, split["file"]))
    if left_out := len(split) - len(seen):
        logger.info("left out %d training images: most voters see no face", left_out)
    return split.select(seen)


def make_targets(
    config: TrainConfig, split: datasets.Dataset, taught: torch.Tensor | None
) -> torch.Tensor:
    """Return `(N, 6)` targets; `taught` are the teacher's `(N, 6)` probabilities, if any."""
    labels = torch.tensor(split["label"])
    targets = one_hot(labels, len(LABELS)).float()
    if config.votes is not None:
        voted = votes.distributions(votes.read_votes(config.votes, split["file"]), labels.numpy())
        targets = torch.lerp(targets, torch.from_numpy(voted).float(), config.vote_share)
    if taught is not None:
        targets = torch.lerp(targets, taught, config.teacher_share)
    return torch.lerp(targets, torch.full_like(targets, 1 / len(LABELS)), config.label_smoothing)


def find_majorities(
    config: TrainConfig, split: datasets.Dataset, device: torch.device
) -> torch.Tensor | None:
    """Return `(N,)` indices of what most voters see, `votes.NO_MAJORITY` included; None without."""
    if config.votes is None:
        return None
    return torch.from_numpy(votes.read_votes(config.votes, split["file"]).majority).to(device)


def describe_sources(config: TrainConfig) -> dict[str, int]:
    """Return checksums of the votes and the teacher, by which `--resume` knows a run's sources.

    Raises:
        ValueError: there is no such file or checkpoint.
    """
    checksums: dict[str, int] = {}
    if config.votes is not None:
        checksums["votes_checksum"] = votes.checksum(config.votes)
    if config.teacher is not None:
        checksums["teacher_checksum"] = checksum(load_classifier(config.teacher))
    return checksums


def checksum(classifier: Classifier) -> int:
    """Return a checksum of a checkpoint's weights."""
    total = 0
    for value in classifier.network.state_dict().values():
        total = zlib.crc32(value.contiguous().numpy().tobytes(), total)
    return total


def ask_teacher(
    config: TrainConfig,
    images: torch.Tensor,
    folder: Path | None,
    autocast: Callable[[], AbstractContextManager],
) -> torch.Tensor | None:
    """Return the teacher's `(N, 6)` probabilities for `(N, 1, S, S)` uint8 images; None without.

    They are means over the image and its mirror image. The run's `folder` keeps them, so that a
    resumed run has the same.
    """
    if config.teacher is None:
        return None
    classifier = load_classifier(config.teacher)
    key = zlib.crc32(images.cpu().numpy().tobytes(), checksum(classifier))
    path = folder and folder / TEACHER_FILE.format(key)
    if path and path.is_file():
        return load_file(path)["probabilities"]
    probabilities = _average_flips(classifier, images, autocast)
    if path:
        write_whole(path, lambda fresh: save_file({"probabilities": probabilities}, fresh))
    return probabilities


@torch.no_grad()
def _average_flips(
    classifier: Classifier, images: torch.Tensor, autocast: Callable[[], AbstractContextManager]
) -> torch.Tensor:
    network = classifier.network.to(images.device, memory_format=torch.channels_last).eval()
    mean, std = (
        torch.tensor(classifier.data_config[name], device=images.device).view(3, 1, 1)
        for name in ("mean", "std")
    )
    probabilities = []
    for batch in images.split(TEACHER_BATCH):
        faces = to_float(batch, classifier.data_config["input_size"][-1])
        inputs = ((torch.cat((faces, faces.flip(-1))) - mean) / std).contiguous(
            memory_format=torch.channels_last
        )
        with autocast():
            logits = network(inputs).float()
        probabilities.append(torch.stack(logits.softmax(dim=1).chunk(2)).mean(dim=0).cpu())
    return torch.cat(probabilities)
