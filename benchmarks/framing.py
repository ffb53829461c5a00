"""How FER2013 frames faces: the detector's box against the crop that FER2013 made of the same face.

Each image is a crop, enlarged to a random side and padded with its edge pixels so that the
detector has room around it. The crop's side divided by the box's, and the way from the box's centre
to the crop's, are what `inference.faces.crop` must do to a box: FRAMING_SCALE there is
this script's median. Images of train only: nothing is chosen on test.

    python benchmarks/framing.py --data emotion-detection-fer.zip
"""

import argparse
import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import datasets
import numpy as np
import report
from PIL import Image

from emotion_detective.evaluation.markdown import table
from emotion_detective.inference import faces
from emotion_detective.training import data

RESULT = Path(__file__).with_suffix("")
LIMIT = 1200
SEED = 0
# The sides that faces have in photos, drawn evenly on a logarithmic scale: MTCNN's pyramid has
# steps of 0.709, and one side alone would measure one place between two steps.
SIDES_PX = (80, 320)
QUANTILES = {"p10": 10, "p25": 25, "median": 50, "p75": 75, "p90": 90}


@dataclass(frozen=True)
class Framing:
    """The crop relative to the box: its side in units of three box sides, and its offset.

    The offset goes from the box's centre to the crop's, in units of the box's geometric side.
    """

    by_width: float
    by_height: float
    by_geometric_mean: float
    shift_right: float
    shift_down: float


def measure(images: datasets.Dataset, seed: int = SEED) -> list[Framing | None]:
    """Return one framing an image, None where no face lies over the crop's centre."""
    generator = np.random.default_rng(seed)
    detector = faces.FaceDetector()
    sides = draw_sides(generator, len(images))
    return [
        _framing(detector, row["image"].convert("RGB"), side)
        for row, side in zip(images, sides, strict=True)
    ]


def draw_sides(generator: np.random.Generator, count: int) -> list[int]:
    """Return sides in pixels, evenly on a logarithmic scale over `SIDES_PX`."""
    low, high = np.log(SIDES_PX)
    return np.exp(generator.uniform(low, high, count)).round().astype(int).tolist()


def padded(image: Image.Image, side: int) -> Image.Image:
    """Return the image enlarged to `side` with half as much of its edge pixels all around."""
    pad = side // 2
    enlarged = np.asarray(image.resize((side, side), Image.Resampling.BICUBIC))
    return Image.fromarray(np.pad(enlarged, ((pad, pad), (pad, pad), (0, 0)), mode="edge"))


def _framing(detector: faces.FaceDetector, image: Image.Image, side: int) -> Framing | None:
    centre = side // 2 + side / 2
    for face in detector.detect(padded(image, side)):
        left, top, right, bottom = face.box_xyxy
        if left < centre < right and top < centre < bottom:
            width, height = right - left, bottom - top
            mean_side = math.sqrt(width * height)
            return Framing(
                by_width=side / width,
                by_height=side / height,
                by_geometric_mean=side / mean_side,
                shift_right=(centre - (left + right) / 2) / mean_side,
                shift_down=(centre - (top + bottom) / 2) / mean_side,
            )
    return None


def summary(framings: list[Framing | None]) -> dict:
    """Return the share found, and quantiles and relative spread of every quantity."""
    found = [framing for framing in framings if framing is not None]
    columns = {
        name: np.array([getattr(framing, name) for framing in found])
        for name in Framing.__dataclass_fields__
    }
    return {
        "n": len(framings),
        "found": len(found),
        "found_share": round(len(found) / len(framings), 4),
        "quantities": {name: _spread(values) for name, values in columns.items()},
    }


def _spread(values: np.ndarray) -> dict[str, float]:
    quantiles = {name: round(float(np.percentile(values, q)), 3) for name, q in QUANTILES.items()}
    return quantiles | {"interquartile": round(quantiles["p75"] - quantiles["p25"], 3)}


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("How FER2013 frames faces", result)
    yield (
        f"Faces found: {result['found']} of {result['n']} ({result['found_share']:.1%}). "
        "`by_*`: side of the crop divided by the box's width, height or geometric mean; "
        "`shift_*`: centre of the crop minus centre of the box, in geometric means."
    )
    yield ""
    columns = [*QUANTILES, "interquartile"]
    rows = [[name, *(q[c] for c in columns)] for name, q in result["quantities"].items()]
    yield table(["", *columns], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", required=True, help="Kaggle zip, its folder or a Hub dataset id")
    parser.add_argument("--limit", type=int, default=LIMIT, help="images, drawn at random")
    arguments = parser.parse_args()
    images = data.subset(data.load(arguments.data)["train"], arguments.limit, SEED)
    command = f"benchmarks/framing.py --data {Path(arguments.data).name} --limit {arguments.limit}"
    result = report.origin(command, f"{len(images)} images of FER2013's train split", SEED)
    result |= summary(measure(images))
    report.write(RESULT, result, markdown(result))


if __name__ == "__main__":
    main()
