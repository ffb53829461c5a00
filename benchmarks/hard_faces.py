"""Accuracy on hard faces: glasses, tilt, little light, JPEG, another size than the network's.

    python benchmarks/hard_faces.py --data emotion-detection-fer.zip

FER2013 has few of these, the page's visitors have many. Validation images are classified as they
are, altered, and enlarged to other sides than the network's. The glasses are drawn as in training
(`training.augment`), on other images in other places.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import report
import torch
from PIL import Image

from emotion_detective import data
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.loading import load_classifier
from emotion_detective.evaluation.plots import table
from emotion_detective.training import loop
from emotion_detective.training.augment import compress, to_float, transform, wear_glasses

# Sides in pixels around that of the embedded network.
SIZES = (80, 88, 96, 104, 112)
SEED = 0


def tilt(images: torch.Tensor, degrees: float) -> torch.Tensor:
    """Turn `(N, 1, S, S)` faces by this angle, every other one to the right."""
    angles = torch.full((len(images),), math.radians(degrees))
    angles[::2] *= -1
    return transform(images, angles)


# Name -> alteration of `(N, 1, S, S)` faces in 0..1.
CONDITIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "as they are": lambda images: images,
    "mirrored": lambda images: images.flip(-1),
    "with glasses": lambda images: wear_glasses(images, fraction=1.0),
    "tilted by 15°": lambda images: tilt(images, 15),
    "tilted by 30°": lambda images: tilt(images, 30),
    "a third of the light": lambda images: images / 3,
    "JPEG, quality 30": lambda images: compress(images, torch.full((len(images), 1, 1, 1), 30.0)),
}


def accuracies(classifier: Classifier, split: datasets.Dataset) -> dict[str, float]:
    """Return the fraction of right predictions under each of CONDITIONS."""
    pixels, labels = data.to_tensors(split, classifier.data_config["input_size"][-1])
    faces = to_float(pixels, pixels.shape[-1])
    found = {}
    for name, alter in CONDITIONS.items():
        torch.manual_seed(SEED)
        altered = (255 * alter(faces)).round().byte()[:, 0].numpy()
        probabilities = classifier.probabilities([Image.fromarray(face) for face in altered])
        found[name] = float((probabilities.argmax(axis=1) == labels.numpy()).mean())
    return found


def accuracies_by_size(classifier: Classifier, split: datasets.Dataset) -> dict[str, float]:
    """Return the fraction of right predictions to the images enlarged to each of SIZES."""
    found = {}
    for size in SIZES:
        logits, labels = loop.predict_logits(classifier.network, split, size)
        found[f"{size} px"] = (logits.argmax(dim=1) == labels).float().mean().item()
    return found


def markdown(result: dict) -> Iterator[str]:
    """Yield the lines of the table, a column a model."""
    yield from report.opening("Hard faces: glasses, tilt, little light, JPEG, other sizes", result)
    yield (
        "Accuracy on the same images, altered; validation, on which nothing was trained. They are "
        "crops: what a detector misses is not counted. The glasses are drawn, as in training: real "
        "ones cost more or less. The last rows enlarge the same images to other sides than the "
        "network's."
    )
    yield ""
    models, sizes = result["models"], [f"{size} px" for size in SIZES]
    rows = [
        [condition, *(f"{found[condition]:.1%}" for found in models.values())]
        for condition in (*CONDITIONS, *sizes)
    ]
    yield table(["", *models], rows)


def main() -> None:
    """Read the command line, measure, write."""
    parser = report.parser(__file__, __doc__, "data")
    parser.add_argument(
        "--model", default=[report.EMBEDDED_MODEL], nargs="+", metavar="DIR", help="checkpoints"
    )
    asked = parser.parse_args()
    split = data.load(asked.data)["validation"]
    images = f"{len(split)} images of validation of {Path(asked.data).name}"
    result = report.origin(images, SEED) | {"models": {}}
    for model in asked.model:
        classifier = load_classifier(model)
        row = accuracies(classifier, split) | accuracies_by_size(classifier, split)
        result["models"][Path(model).name] = row
    report.write(asked.output, result, markdown(result))


if __name__ == "__main__":
    main()
