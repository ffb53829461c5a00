"""Faces and model together: a picture goes in, one prediction a face comes out.

Used by the page, by `transformers`-free Python code and by the benchmarks. Knows no Gradio and no
training.

    detective = EmotionDetective.from_pretrained("user/repo or folder")
    for prediction in detective.analyze(Image.open("photo.jpg")):
        print(prediction.label, prediction.confidence)
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
from emotion_detective.files.pictures import Source, read_picture

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prediction:
    """One face and its emotion.

    `box_xyxy` is in pixels of the picture as shown (EXIF applied), `probabilities` are in the order
    of `LABELS`, `confidence` is the largest of them, `unsure` says that it is below the
    checkpoint's threshold, `turned_degrees` how far the picture must be turned clockwise for the
    face to stand upright: 0, or 90, 180 or 270 where no face of the picture does.
    """

    box_xyxy: faces.BoxXyxy
    detection_probability: float
    label: str
    confidence: float
    unsure: bool
    probabilities: tuple[float, ...]
    turned_degrees: int = 0


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

        `device` is a name that torch knows; without one, see `runtime.claim_device`.

        Raises:
            ValueError: the checkpoint cannot be had or is broken, or there is no such device; see
                `loading.load_classifier`.
        """
        classifier = load_classifier(source, revision, device)
        return cls(classifier, faces.FaceDetector(device=classifier.device))

    def analyze(self, picture: Source, whole_picture: bool = False) -> list[Prediction]:
        """Return one prediction a face, largest face first; no face: [].

        Takes what a notebook has: a path, bytes, an open binary file, a PIL image, or a NumPy array
        of uint8, RGB `(H, W, 3)` or gray `(H, W)`. What a file that is cut short lacks is logged.
        With `whole_picture` the picture is read as one face, without looking for any: for
        pictures cropped to a face already, such as FER2013's.

        Raises:
            TypeError: none of these.
            ValueError: the picture cannot be read or is too large; see `pictures.read_picture`.
        """
        opened = read_picture(picture)
        if opened.notice:
            logger.warning("%s", opened.notice)
        return self.read_photo(opened.picture, whole_picture)

    def read(self, picture: Image.Image, whole_picture: bool = False) -> list[Prediction]:
        """Return the upright faces of an opened picture, such as one of many frames."""
        predictions, _ = self.look(picture, whole_picture, any_turn=False)
        return predictions

    def look(
        self, picture: Image.Image, whole_picture: bool = False, any_turn: bool = True
    ) -> tuple[list[Prediction], list[Image.Image]]:
        """Return what `read_photo` does, and the crop of each face that was classified.

        Without `any_turn` it is what `read` does.
        """
        if whole_picture:
            found = [faces.whole_picture(picture)]
        elif any_turn:
            found = self.detector.detect_any_turn(picture)
        else:
            found = self.detector.detect(picture)
        crops = _crops(picture, found)
        return self._predictions(found, crops), crops

    def read_photo(self, picture: Image.Image, whole_picture: bool = False) -> list[Prediction]:
        """Return what `analyze` does, of an opened picture: without upright faces, turned ones."""
        predictions, _ = self.look(picture, whole_picture)
        return predictions

    def classify(self, picture: Image.Image, found: Sequence[faces.Face]) -> list[Prediction]:
        """Return one prediction for each face of an opened picture, classified in one batch."""
        return self._predictions(found, _crops(picture, found))

    def _predictions(
        self, found: Sequence[faces.Face], crops: Sequence[Image.Image]
    ) -> list[Prediction]:
        rows = self.classifier.probabilities(crops).tolist()
        return [self._prediction(face, row) for face, row in zip(found, rows, strict=True)]

    def _prediction(self, face: faces.Face, probabilities: list[float]) -> Prediction:
        confidence = max(probabilities)
        return Prediction(
            box_xyxy=face.box_xyxy,
            detection_probability=face.detection_probability,
            label=LABELS[probabilities.index(confidence)],
            confidence=confidence,
            unsure=confidence < self.classifier.unsure_below,
            probabilities=tuple(probabilities),
            turned_degrees=face.turned_degrees,
        )


def _crops(picture: Image.Image, found: Sequence[faces.Face]) -> list[Image.Image]:
    return [
        faces.crop(picture, face.box_xyxy, turned_degrees=face.turned_degrees) for face in found
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

    def look(
        self, picture: Image.Image, whole_picture: bool = False, any_turn: bool = True
    ) -> tuple[list[Prediction], list[Image.Image]]:
        """Return predictions and crops, as `EmotionDetective.look` does."""
        return compute(super().look, picture, whole_picture, any_turn)
