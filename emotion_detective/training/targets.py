"""The targets of a training run: `(N, 6)` probabilities for the training images.

A target is the label, moved towards FER+'s votes (`votes.py`), a teacher's predictions and an even
distribution. Called by `run.py`.
"""

import logging

import datasets
import numpy as np
import torch
from PIL import ImageOps
from torch.nn.functional import one_hot

from emotion_detective import LABELS
from emotion_detective.core.loading import load_classifier
from emotion_detective.evaluation import votes
from emotion_detective.training.recipe import TrainConfig

logger = logging.getLogger(__name__)

TEACHER_BATCH = 64


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


def ask_teacher(config: TrainConfig, split: datasets.Dataset) -> torch.Tensor | None:
    """Return the teacher's `(N, 6)` probabilities, means over each image and its mirror image."""
    if config.teacher is None:
        return None
    classifier, probabilities = load_classifier(config.teacher), []
    for batch in split.iter(TEACHER_BATCH):
        pictures = batch["image"]
        both = classifier.probabilities([*pictures, *map(ImageOps.mirror, pictures)])
        probabilities.append((both[: len(pictures)] + both[len(pictures) :]) / 2)
    return torch.from_numpy(np.concatenate(probabilities))
