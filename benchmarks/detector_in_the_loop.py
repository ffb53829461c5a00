"""The cost of finding the face first: accuracy on faces in larger pictures, and on the crops.

Each FER2013 image is enlarged, turned a little and pasted at a random place into a synthetic
picture, found by MTCNN, cropped and classified. The answer is compared with the one for the image
itself. On validation the scale of the framing varies too, to see how far FRAMING_SCALE of
`inference.faces` is from the best.

    python benchmarks/detector_in_the_loop.py --model DIR --data ZIP --split validation --limit 600
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import report
from PIL import Image
from tqdm.auto import tqdm

from emotion_detective import data
from emotion_detective.core import faces
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.loading import load_classifier
from emotion_detective.evaluation.plots import table

SEED = 0
PICTURE_SIZE = (800, 600)
FACE_SIDES_PX = (80, 400)  # drawn evenly on a logarithmic scale
MAX_ROTATION_DEGREES = 15.0
# Cells along the longer side of the random fields that make a background: soft light to texture.
BACKGROUND_CELLS = (3, 12, 48, 200)
SCALES = (0.9, 0.95, 1.0, 1.05, 1.09, 1.15, 1.2)


@dataclass(frozen=True)
class Scene:
    """A picture with one pasted face: the centre and the side of the paste, in pixels."""

    picture: Image.Image
    centre: tuple[float, float]
    side: int

    def holds(self, face: faces.Face) -> bool:
        """Return whether a box is the pasted face's: over its centre, and about as large."""
        left, top, right, bottom = face.box_xyxy
        mean_side = math.sqrt((right - left) * (bottom - top))
        x, y = self.centre
        return left < x < right and top < y < bottom and 0.4 < mean_side / self.side < 1.6


def make_scene(image: Image.Image, generator: np.random.Generator) -> Scene:
    """Return a scene with `image`, gray as FER2013 or in colour, pasted at a random place."""
    low, high = np.log(FACE_SIDES_PX)
    side = round(float(np.exp(generator.uniform(low, high))))
    turned = image.convert("RGB").resize((side, side), Image.Resampling.BICUBIC).convert("RGBA")
    angle = generator.uniform(-MAX_ROTATION_DEGREES, MAX_ROTATION_DEGREES)
    turned = turned.rotate(angle, Image.Resampling.BICUBIC, expand=True)
    picture = _background(generator)
    left, top = (
        round(generator.uniform(0, max(0, room - size)))
        for room, size in zip(picture.size, turned.size, strict=True)
    )
    picture.paste(turned, (left, top), turned)
    return Scene(picture, (left + turned.width / 2, top + turned.height / 2), side)


def _background(generator: np.random.Generator) -> Image.Image:
    """Return soft colours with texture: random fields from coarse to fine, fine ones fainter."""
    width, height = PICTURE_SIZE
    total = np.zeros((height, width, 3), np.float32)
    for cells in BACKGROUND_CELLS:
        field = generator.integers(0, 256, (cells * height // width + 1, cells, 3), np.uint8)
        smooth = Image.fromarray(field).resize(PICTURE_SIZE, Image.Resampling.BICUBIC)
        total += (np.asarray(smooth, np.float32) - 128) * generator.uniform(0.2, 1) / cells**0.5
    return Image.fromarray((128 + total).clip(0, 255).astype(np.uint8))


def measure(classifier: Classifier, images: datasets.Dataset, scales: tuple[float, ...]) -> dict:
    """Return the share of faces found, the false faces, and the accuracies.

    "in_the_loop" has the accuracy at each scale, beside "found_crops_accuracy" on the crops of the
    same images. "missed_crops_accuracy" is that on the crops whose face was not found.
    """
    generator = np.random.default_rng(SEED)
    detector = faces.FaceDetector()
    labels = np.array(images["label"])
    originals = _correct(classifier, [row["image"] for row in images], labels)
    found, false_faces, crops = [], 0, {scale: [] for scale in scales}
    for row in tqdm(images, desc="finding", leave=False):
        scene = make_scene(row["image"], generator)
        boxes = detector.detect(scene.picture)
        own = [face for face in boxes if scene.holds(face)]
        false_faces += len(boxes) - len(own)
        found.append(bool(own))
        for scale in scales if own else ():
            crops[scale].append(faces.crop(scene.picture, own[0].box_xyxy, scale))
    found = np.array(found)
    return {
        "n": len(images),
        "found": int(found.sum()),
        "found_share": float(found.mean()),
        "false_faces": false_faces,
        "crops_accuracy": float(originals.mean()),
        "missed_crops_accuracy": float(originals[~found].mean()) if not found.all() else None,
        "found_crops_accuracy": float(originals[found].mean()),
        "in_the_loop": [
            {"framing_scale": scale}
            | _paired(_correct(classifier, crops[scale], labels[found]), originals[found])
            for scale in scales
        ],
    }


def _correct(classifier: Classifier, pictures: list[Image.Image], labels: np.ndarray) -> np.ndarray:
    return classifier.probabilities(pictures).argmax(axis=1) == labels


def _paired(loop: np.ndarray, originals: np.ndarray) -> dict[str, float]:
    """Return accuracy in the loop and its loss in points, with the paired 95% half-interval."""
    difference = 100 * (originals.astype(float) - loop)
    return {
        "accuracy": float(loop.mean()),
        "points_lost": float(difference.mean()),
        "points_lost_half_interval": float(1.96 * difference.std() / math.sqrt(len(loop))),
    }


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("The detector in the loop", result)
    yield (
        f"Crops of {FACE_SIDES_PX[0]} to {FACE_SIDES_PX[1]} px, rotated by up to "
        f"{MAX_ROTATION_DEGREES:.0f} degrees, in pictures of {PICTURE_SIZE[0]}x{PICTURE_SIZE[1]}: "
        f"{result['found']} of {result['n']} faces found ({result['found_share']:.1%}), "
        f"{result['false_faces']} false ones. On the crops themselves "
        f"{result['crops_accuracy']:.2%} are right, of those found "
        f"{result['found_crops_accuracy']:.2%}:"
    )
    yield ""
    header = ["framing scale", "accuracy in the loop", "points lost"]
    yield table(header, [_cells(**loop) for loop in result["in_the_loop"]])


def _cells(
    framing_scale: float,
    accuracy: float,
    points_lost: float,
    points_lost_half_interval: float,
) -> list[object]:
    lost = f"{points_lost:+.2f} +/- {points_lost_half_interval:.2f}"
    return [framing_scale, f"{accuracy:.2%}", lost]


def main() -> None:
    parser = report.parser(__file__, __doc__, "data", "model")
    parser.add_argument("--split", choices=("validation", "test"), default="validation")
    parser.add_argument("--limit", type=int, help="that many images of the split, drawn at random")
    arguments = parser.parse_args()
    classifier = load_classifier(arguments.model)
    images = data.subset(data.load(arguments.data)[arguments.split], arguments.limit, SEED)
    # Other scales are looked at on validation only: nothing is chosen on test.
    scales = SCALES if arguments.split == "validation" else (faces.FRAMING_SCALE,)
    result = report.origin(f"{arguments.split} of {Path(arguments.data).name}", SEED)
    result |= measure(classifier, images, scales)
    path = arguments.output.with_name(f"{arguments.output.name}_{arguments.split}")
    report.write(path, result, markdown(result))


if __name__ == "__main__":
    main()
