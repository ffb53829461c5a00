"""The detector against facenet-pytorch's, and what its constants cost and bring.

`core.faces` quotes the tables. Both detectors have the same weights and find the same faces
(tests/engines/test_mtcnn.py); they are timed in turn, on all cores. In the other tables faces are
FER2013's training images, enlarged to the sides of faces in photos and padded with their edge
pixels; pictures without people are photos that scikit-image, scikit-learn and Gradio install; times
are CPU seconds of one thread, the fastest of three.

    python benchmarks/detection.py --data emotion-detection-fer.zip
"""

import time
from collections.abc import Iterator
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from unittest import mock

import crowds
import datasets
import numpy as np
import report
import torch
from facenet_pytorch import MTCNN
from PIL import Image

from emotion_detective import data
from emotion_detective.core import faces
from emotion_detective.evaluation.plots import table
from emotion_detective.files import read_picture

LIMIT = 400
SEED = 0
SIDES_PX = (80, 320)
THRESHOLDS = (0.8, 0.9, 0.95, 0.97, 0.99)
NO_PEOPLE = {
    "skimage/data": (
        *("brick.png", "chelsea.png", "coffee.png", "color.png", "grass.png", "gravel.png"),
        *("hubble_deep_field.jpg", "ihc.png", "moon.png", "motorcycle_left.png", "page.png"),
        *("retina.jpg", "rocket.jpg", "text.png"),
    ),
    "sklearn/datasets/images": ("china.jpg", "flower.jpg"),
    "gradio/media_assets/images": (
        *("cheetah1.jpg", "cheetah.jpg", "lion.jpg", "tower.jpg", "groot.jpeg"),
    ),
}
NO_PEOPLE_SIDES_PX = (320, 480, 640, 960, 1280)
# Compared settings: (width of a 4:3 photo's copy, smallest face in it).
SETTINGS = ((10_000, 20), (1280, 20), (1280, 24), (1280, 40), (960, 24))
TIMED_SIZES = ((640, 480), (1280, 960), (4000, 3000))
FACE_HEIGHTS_PX = (16, 20, 24, 28, 32, 48)
REPEATS = 3
CROWDS, CROWD_SIZE, ROUNDS = (1, 5, 30), (640, 480), 15


def against_facenet() -> list[dict]:
    """Return, per number of faces, the median seconds of both detectors, timed in turn."""
    ours, theirs = faces.FaceDetector(), MTCNN(min_face_size=faces.MIN_FACE_PX, keep_all=True)
    rows = []
    for count in CROWDS:
        picture = crowds.crowd(CROWD_SIZE, count)
        calls = {
            "ours": partial(ours.detect, picture),
            "facenet-pytorch": partial(theirs.detect, picture),
        }
        rows.append({"faces": count, "seconds": report.medians(calls, ROUNDS)})
    return rows


def thresholds(images: datasets.Dataset) -> list[dict]:
    """Return, per threshold, the fraction of faces found and the pictures with false ones."""
    lenient = faces.FaceDetector(min_probability=min(THRESHOLDS))
    real = [_best_score(lenient, picture) for picture in _padded(images)]
    no_people = [_find(folder) / name for folder, names in NO_PEOPLE.items() for name in names]
    false = {
        path.name: max(_best_score(lenient, picture) for picture in _at_sizes(path))
        for path in no_people
    }
    return [
        {
            "threshold": threshold,
            "faces_found": float(np.mean([score >= threshold for score in real])),
            "n": len(real),
            "false_in": sorted(name for name, score in false.items() if score >= threshold),
            "pictures": len(false),
        }
        for threshold in THRESHOLDS
    ]


def _padded(images: datasets.Dataset) -> Iterator[Image.Image]:
    generator = np.random.default_rng(SEED)
    # Evenly on a logarithmic scale: MTCNN's pyramid has steps of 0.709, and one side alone would
    # measure one place between two steps.
    sides = np.exp(generator.uniform(*np.log(SIDES_PX), len(images))).round().astype(int).tolist()
    for side, row in zip(sides, images, strict=True):
        enlarged = row["image"].convert("RGB").resize((side, side), Image.Resampling.BICUBIC)
        edges = (side // 2, side // 2)
        yield Image.fromarray(np.pad(np.asarray(enlarged), (edges, edges, (0, 0)), mode="edge"))


def _find(path: str) -> Path:
    """Return the place of a folder of an installed package: "package/rest/of/path"."""
    package, _, rest = path.partition("/")
    return Path(find_spec(package).origin).parent / rest


def _at_sizes(path: Path) -> Iterator[Image.Image]:
    picture = read_picture(path).picture
    for longest in NO_PEOPLE_SIDES_PX:
        yield picture.resize([round(side * longest / max(picture.size)) for side in picture.size])


def _best_score(detector: faces.FaceDetector, picture: Image.Image) -> float:
    return max((face.detection_probability for face in detector.detect(picture)), default=0.0)


def settings() -> list[dict]:
    """Return, per setting, milliseconds per picture size and the smallest faces found."""
    return [_measure_setting(side, face) for side, face in SETTINGS]


def _measure_setting(side: int, smallest_face: int) -> dict:
    with (
        mock.patch.object(faces, "DETECTION_PIXELS", side * side * 3 // 4),
        mock.patch.object(faces, "MIN_FACE_PX", smallest_face),
    ):
        detector = faces.FaceDetector()
        times = {
            f"{width}x{height}": _milliseconds(detector, _group((width, height), 60))
            for width, height in TIMED_SIZES
        }
        found = {
            height: len(detector.detect(_group((1280, 960), height))) for height in FACE_HEIGHTS_PX
        }
    return {"side": side, "smallest_face": smallest_face, "ms": times, "found_of_5": found}


def _milliseconds(detector: faces.FaceDetector, picture: Image.Image) -> float:
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        detector.detect(picture)
        times.append(time.process_time() - start)
    return round(1000 * min(times), 1)


def _group(size: tuple[int, int], face_px: int) -> Image.Image:
    """Return a townscape with five faces whose boxes are `face_px` high."""
    picture, head = crowds.townscape(size).copy(), crowds.head(face_px)
    for i in range(5):
        picture.paste(head, (10 + i * size[0] // 5, 10 + (i % 3) * size[1] // 4))
    return picture


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("The detector and its constants", result)
    yield "On all cores, one picture ours and one facenet-pytorch's, in turn:"
    yield ""
    header = [f"faces in {CROWD_SIZE[0]}x{CROWD_SIZE[1]}", "ours, ms", "facenet-pytorch, ms"]
    yield table([*header, "times"], [_compared(**row) for row in result["against_facenet"]])
    yield ""
    yield "The constants, on one thread:"
    yield ""
    counts = result["thresholds"][0]
    header = ["threshold", f"faces found (n = {counts['n']})"]
    header += [
        f"false faces in (of {counts['pictures']} pictures at {len(NO_PEOPLE_SIDES_PX)} sizes)"
    ]
    rows = [
        [row["threshold"], f"{row['faces_found']:.1%}", ", ".join(row["false_in"]) or "none"]
        for row in result["thresholds"]
    ]
    yield table(header, rows)
    yield ""
    header = ["copy of at most", "smallest face"]
    header += [f"{width}x{height}, ms" for width, height in TIMED_SIZES]
    header += [f"found of 5 at {height} px" for height in FACE_HEIGHTS_PX]
    yield table(header, map(_setting, result["settings"]))
    yield ""
    yield "Faces of the last columns stand in a picture of 1280x960."


def _compared(faces: int, seconds: dict[str, float]) -> list[str]:
    ours, theirs = seconds.values()
    return [str(faces), f"{1000 * ours:.0f}", f"{1000 * theirs:.0f}", f"{theirs / ours:.1f}"]


def _setting(row: dict) -> list[object]:
    copy = f"{row['side']}x{row['side'] * 3 // 4}"
    return [copy, row["smallest_face"], *row["ms"].values(), *row["found_of_5"].values()]


def main() -> None:
    parser = report.parser(__file__, __doc__, "data")
    parser.add_argument("--limit", type=int, default=LIMIT, help="faces, drawn at random")
    arguments = parser.parse_args()
    compared = against_facenet()
    torch.set_num_threads(1)
    images = data.subset(data.load(arguments.data)["train"], arguments.limit, SEED)
    result = report.origin(f"{len(images)} images of train of {Path(arguments.data).name}", SEED)
    result |= {
        "against_facenet": compared,
        "thresholds": thresholds(images),
        "settings": settings(),
    }
    report.write(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
