"""Faces and model together: a picture goes in, one prediction a face comes out.

    detective = EmotionDetective.from_pretrained("user/repo or folder")
    for prediction in detective.analyze("photo.jpg"):
        print(prediction.label, prediction.confidence)

Used by the page, by Python code and by the benchmarks. Knows no Gradio and no training.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

import torch
from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core import faces
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.loading import load_classifier
from emotion_detective.files import Source, read_picture

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """One face and its emotion.

    `box_xyxy` is in pixels of the picture as shown (EXIF applied), `probabilities` are in the order
    of `LABELS`, `confidence` is the largest of them, `unsure` says that it is below the
    checkpoint's threshold. The face stands upright once the picture is rotated clockwise by
    `rotation_degrees`: 0, or 90, 180 or 270 where no face of the picture is upright as it is.
    """

    box_xyxy: faces.BoxXyxy
    detection_probability: float
    label: str
    confidence: float
    unsure: bool
    probabilities: tuple[float, ...]
    rotation_degrees: int = 0

    def crop(self, source: Source) -> Image.Image:
        """Return what the classifier saw of the picture that was analyzed: an upright square."""
        (crop,) = faces.crops(read_picture(source).picture, [self])
        return crop


@dataclass(frozen=True)
class EmotionDetective:
    """Face detector and classifier, loaded once; every method may run in many threads at once."""

    classifier: Classifier
    detector: faces.FaceDetector

    @classmethod
    def from_pretrained(
        cls,
        source: Path | str,
        revision: str | None = None,
        device: torch.device | str | None = None,
    ) -> "EmotionDetective":
        """Load a checkpoint from a folder or from the Hub, and the detector, onto one device.

        `device` is a name that torch knows; without one, see `engines.claim_device`.
        """
        classifier = load_classifier(source, revision, device)
        return cls(classifier, faces.FaceDetector(device=classifier.device))

    def analyze(
        self, source: Source, whole_picture: bool = False, *, upright_only: bool = False
    ) -> list[Prediction]:
        """Return one prediction a face, largest face first; no face: [].

        `source` is a path, bytes, an open binary file, a PIL image, or a NumPy array of uint8, RGB
        `(H, W, 3)` or gray `(H, W)`. What a file that is cut short lacks is logged. With
        `whole_picture` the picture is read as one face, without looking for any: for pictures
        cropped to a face already, such as FER2013's. With `upright_only` a picture without an
        upright face is not looked at on its sides and its head, which takes three times as long.

        Raises:
            TypeError: none of these sources.
        """
        opened = read_picture(source)
        if opened.notice:
            logger.warning("%s", opened.notice)
        if whole_picture:
            found = [faces.whole_picture(opened.picture)]
        elif upright_only:
            found = self.detector.detect(opened.picture)
        else:
            found = self.detector.detect_any_rotation(opened.picture)
        return self.classify(opened.picture, found)

    def classify(self, picture: Image.Image, found: Sequence[faces.Face]) -> list[Prediction]:
        """Return one prediction for each face of an upright picture, classified in one batch."""
        rows = self.classifier.probabilities(faces.crops(picture, found)).tolist()
        return [
            Prediction(
                box_xyxy=face.box_xyxy,
                detection_probability=face.detection_probability,
                label=LABELS[row.index(max(row))],
                confidence=max(row),
                unsure=max(row) < self.classifier.unsure_below,
                probabilities=tuple(row),
                rotation_degrees=face.rotation_degrees,
            )
            for face, row in zip(found, rows, strict=True)
        ]


P, R = ParamSpec("P"), TypeVar("R")

_networks = ThreadPoolExecutor(1, "networks")


def compute(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Call a function that runs a network, in the thread for that; not from within that thread."""
    return _networks.submit(function, *args, **kwargs).result()


class ServedDetective(EmotionDetective):
    """An `EmotionDetective` whose networks run in one thread, whichever thread asks."""

    @classmethod
    def from_pretrained(
        cls,
        source: Path | str,
        revision: str | None = None,
        device: torch.device | str | None = None,
    ) -> "ServedDetective":
        """Load a checkpoint, as `EmotionDetective.from_pretrained` does."""
        return compute(super().from_pretrained, source, revision, device)

    def analyze(
        self, source: Source, whole_picture: bool = False, *, upright_only: bool = False
    ) -> list[Prediction]:
        """Return what `EmotionDetective.analyze` does.

        Of an open picture: a file would be decoded in the thread of the networks, too.
        """
        return compute(super().analyze, source, whole_picture, upright_only=upright_only)
