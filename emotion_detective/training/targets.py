"""The targets of a training run: `(N, 6)` probabilities for the training images.

A target is the label, moved towards FER+'s votes (`votes.py`), a teacher's predictions and an even
distribution. Called by `run.py`.
"""

import logging
from collections.abc import Callable
from contextlib import AbstractContextManager

import datasets
import numpy as np
import torch
from torch.nn.functional import one_hot

from emotion_detective import LABELS
from emotion_detective.core.loading import load_classifier
from emotion_detective.evaluation import votes
from emotion_detective.training.augment import to_float
from emotion_detective.training.recipe import TrainConfig

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
    config: TrainConfig, split: datasets.Dataset, distilled: torch.Tensor | None
) -> torch.Tensor:
    """Return `(N, 6)` targets; `distilled` are the teacher's `(N, 6)` probabilities, if any."""
    labels = torch.tensor(split["label"])
    targets = one_hot(labels, len(LABELS)).float()
    if config.votes is not None:
        voted = votes.distributions(votes.read_votes(config.votes, split["file"]), labels.numpy())
        targets = torch.lerp(targets, torch.from_numpy(voted).float(), config.vote_share)
    if distilled is not None:
        targets = torch.lerp(targets, distilled, config.teacher_share)
    return torch.lerp(targets, torch.full_like(targets, 1 / len(LABELS)), config.label_smoothing)


def find_majorities(
    config: TrainConfig, split: datasets.Dataset, device: torch.device
) -> torch.Tensor | None:
    """Return `(N,)` indices of what most voters see, `votes.NO_MAJORITY` included; None without."""
    if config.votes is None:
        return None
    return torch.from_numpy(votes.read_votes(config.votes, split["file"]).majority).to(device)


@torch.no_grad()
def ask_teacher(
    config: TrainConfig, images: torch.Tensor, autocast: Callable[[], AbstractContextManager]
) -> torch.Tensor | None:
    """Return the teacher's `(N, 6)` probabilities for `(N, 1, S, S)` uint8 images; None without.

    They are means over the image and its mirror image.
    """
    if config.teacher is None:
        return None
    classifier = load_classifier(config.teacher)
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
