"""What glasses, tilted heads and little light cost: validation images as they are and altered.

    python benchmarks/hard_faces.py --data emotion-detection-fer.zip

FER2013 has few of these, the page's visitors have many. The glasses are those that training draws
(`training.augment`), in other places on other images. The table keeps the rows of earlier
calls on the same images.
"""

import argparse
import json
import math
from collections.abc import Callable, Iterator
from pathlib import Path

import datasets
import report
import torch
from PIL import Image

from emotion_detective.evaluation.markdown import table
from emotion_detective.inference.loading import load_classifier
from emotion_detective.inference.model import Classifier
from emotion_detective.training import data
from emotion_detective.training.augment import compress, to_float, transform, wear_glasses

RESULT = Path(__file__).with_suffix("")
SEED = 0


def tilt(images: torch.Tensor, degrees: float) -> torch.Tensor:
    """Turn `(N, 1, S, S)` faces by this angle, every other one to the right."""
    angles = torch.full((len(images),), math.radians(degrees))
    angles[::2] *= -1
    return transform(images, angles)


# What is done to `(N, 1, S, S)` faces in 0..1.
CONDITIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "as they are": lambda images: images,
    "mirrored": lambda images: images.flip(-1),
    "with glasses": lambda images: wear_glasses(images, share=1.0),
    "tilted by 15°": lambda images: tilt(images, 15),
    "tilted by 30°": lambda images: tilt(images, 30),
    "a third of the light": lambda images: images / 3,
    "JPEG, quality 30": lambda images: compress(images, torch.full((len(images), 1, 1, 1), 30.0)),
}


def accuracies(classifier: Classifier, split: datasets.Dataset) -> dict[str, float]:
    """Return the share of right answers under each of CONDITIONS."""
    pixels, labels = data.to_tensors(split, classifier.data_config["input_size"][-1])
    faces = to_float(pixels, pixels.shape[-1])
    found = {}
    for name, alter in CONDITIONS.items():
        torch.manual_seed(SEED)
        altered = (255 * alter(faces)).round().byte()[:, 0].numpy()
        probabilities = classifier.probabilities([Image.fromarray(face) for face in altered])
        found[name] = float((probabilities.argmax(axis=1) == labels.numpy()).mean())
    return found


def markdown(result: dict) -> Iterator[str]:
    """Yield the lines of the table, a row a model."""
    yield from report.opening("Glasses, tilted heads, little light", result)
    yield (
        "Accuracy on the same images, altered; validation, on which nothing was trained. They are "
        "crops: what a detector misses is not counted. The glasses are drawn, as in training: real "
        "ones cost more or less."
    )
    yield ""
    rows = [
        [name, *(f"{found[condition]:.1%}" for condition in CONDITIONS)]
        for name, found in result["models"].items()
    ]
    yield table(["model", *CONDITIONS], rows)


def main() -> None:
    """Read the command line, measure, write."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", required=True, help="Kaggle zip, its folder or a Hub dataset id")
    parser.add_argument(
        "--model", default=[report.EMBEDDED_MODEL], nargs="+", metavar="DIR", help="checkpoints"
    )
    asked = parser.parse_args()
    split = data.load(asked.data)["validation"]
    images = f"{len(split)} images of validation of {Path(asked.data).name}"
    result = report.origin(report.command(), images, SEED)
    result["models"] = known_models(images) | {
        Path(model).name: accuracies(load_classifier(model), split) for model in asked.model
    }
    report.write(RESULT, result, markdown(result))


def known_models(images: str) -> dict[str, dict]:
    """Return the rows of an earlier call on the same images, {} if there was none."""
    path = RESULT.with_suffix(".json")
    known = json.loads(path.read_text()) if path.is_file() else {}
    return known["models"] if known.get("dataset") == images else {}


if __name__ == "__main__":
    main()
