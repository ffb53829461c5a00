"""Picture -> faces -> square crops, framed as FER2013 frames them. Knows no emotion and no Gradio.

`FaceDetector` finds faces with MTCNN (Zhang et al. 2016, arXiv 1604.02878) on a reduced copy, and
`crop` cuts what the classifier sees. Pictures are upright RGB, as `read_picture` returns them;
coordinates are their pixels, with the origin at the top left corner. `benchmarks/detection.py` and
`benchmarks/detector_in_the_loop.py` measure the constants.
"""

import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, replace

import numpy as np
import torch
from PIL import Image
from torchvision.ops import nms

from emotion_detective.engines import CPU, Mtcnn

# Pixels of the copy that faces are looked for in, 1280x960 of a photo. Its area is limited, not its
# longest side, or a panorama's faces would vanish (benchmarks/detection.md, as the next two).
DETECTION_PIXELS = 1280 * 960
# Smallest face looked for in that copy, 1.9% of a photo's longest side.
MIN_FACE_PX = 24
# Keeps 87% of FER2013's small gray faces, where 0.97 keeps 82%, with no more false ones.
MIN_DETECTION_PROBABILITY = 0.9
# A picture is searched in three more rotations only where no upright face is sure. A face found in
# them needs more than one found upright: three more searches find three times the false ones.
SURE_PROBABILITY, MIN_ROTATED_PROBABILITY = 0.999, 0.99
# A face that covers more of the picture leaves no room for photos in other rotations, as an album's
# page has them: the three rotations are then looked at with a third of the pixels each.
ALBUM_FRACTION = 0.03
# Boxes that share more of their union are the same face.
SAME_FACE_OVERLAP = 0.3
# A picture is dark where 999 of 1,000 pixels are below the first level, and black below the second.
DARK_LEVEL, BLACK_LEVEL, BRIGHT_QUANTILE, DARK_SAMPLE_PIXELS = 64, 3, 0.999, 50_000
# The largest faces of a crowd: what a CPU classifies in about a second.
MAX_FACES = 200

# Side of FER2013's crop divided by the geometric mean of the box's width and height: median of the
# 914 faces found in 1,200 training images. 1.0 to 1.15 do equally well, within the noise
# (benchmarks/detector_in_the_loop_validation.md).
FRAMING_SCALE = 1.09

# Clockwise rotations, in Pillow's words, which count the other way.
CLOCKWISE = {
    90: Image.Transpose.ROTATE_270,
    180: Image.Transpose.ROTATE_180,
    270: Image.Transpose.ROTATE_90,
}

BoxXyxy = tuple[float, float, float, float]


@dataclass(frozen=True)
class Face:
    """A face's box `(left, top, right, bottom)` in pixels, inside the picture, and its score.

    The face stands upright once the picture is rotated clockwise by `rotation_degrees`. It was
    found once the dark picture was `brightened`. `landmarks` are x, y of eyes, nose and corners of
    the mouth, of each two the one further left of the upright face first.
    """

    box_xyxy: BoxXyxy
    detection_probability: float
    rotation_degrees: int = 0
    landmarks: tuple[tuple[float, float], ...] = ()
    brightened: bool = False


class FaceDetector:
    """MTCNN with its weights loaded once; `detect` keeps no state and may run in many threads."""

    def __init__(
        self,
        min_probability: float = MIN_DETECTION_PROBABILITY,
        device: torch.device = CPU,
    ) -> None:
        self._min_probability = min_probability
        self._mtcnn = Mtcnn(MIN_FACE_PX, device)

    def find(
        self, picture: Image.Image, whole_picture: bool = False, upright_only: bool = False
    ) -> list[Face]:
        """Return the picture as one face, its upright faces, or those in any rotation."""
        if whole_picture:
            return [Face((0.0, 0.0, float(picture.width), float(picture.height)), 1.0)]
        return self.detect(picture) if upright_only else self.detect_any_rotation(picture)

    def detect(self, picture: Image.Image) -> list[Face]:
        """Return the faces of an upright picture, largest first, at most `MAX_FACES`; maybe none.

        Faces smaller than `MIN_FACE_PX` once the picture is reduced to `DETECTION_PIXELS` are not
        looked for. A dark picture is looked at brightened, too: what shows more faces counts.
        """
        found, bright = self._detect(picture), brighten(picture)
        if bright is picture or len(found) >= len(more := self._detect(bright)):
            return found
        return [replace(face, brightened=True) for face in more]

    def _detect(self, picture: Image.Image) -> list[Face]:
        reduced = _reduce(picture, DETECTION_PIXELS)
        if min(reduced.size) <= MIN_FACE_PX:
            return []
        boxes, probabilities, landmarks = self._mtcnn.find(np.asarray(reduced))
        scale = np.divide(picture.size, reduced.size)
        boxes = np.clip(boxes * np.tile(scale, 2), 0, np.tile(picture.size, 2))
        found = zip(boxes, probabilities, landmarks * scale, strict=True)
        return _largest(
            [
                Face(tuple(box.tolist()), float(probability), landmarks=_points(points))
                for box, probability, points in found
                if probability >= self._min_probability and (box[2:] - box[:2]).min() >= 1
            ]
        )

    def detect_any_rotation(self, picture: Image.Image) -> list[Face]:
        """Return what `detect` does, and the faces of a picture, or of an album's, on side or head.

        Where no upright face is sure, the rotation with most evidence counts. Where upright faces
        are sure but small, sure faces of other rotations are added. Boxes are in the picture as it
        is.
        """
        upright = self.detect(picture)
        is_sure = any(map(_is_sure, upright))
        pixels = picture.width * picture.height
        if is_sure and _area(upright[0].box_xyxy) > ALBUM_FRACTION * pixels:
            return upright
        reduced = _reduce(picture, min(pixels, DETECTION_PIXELS) // (3 if is_sure else 1))
        found = {
            degrees: self._detect_rotated(reduced, degrees, picture.size) for degrees in CLOCKWISE
        }
        if is_sure:
            return _apart([*upright, *filter(_is_sure, itertools.chain(*found.values()))])
        best = max(found.values(), key=_evidence)
        return upright if _evidence(best) <= _evidence(upright) else best

    def _detect_rotated(
        self, reduced: Image.Image, degrees: int, size: tuple[int, int]
    ) -> list[Face]:
        """Return the faces of a copy that is rotated clockwise, in the picture of this size."""
        return [
            _rotate_back(face, degrees, reduced.size, size)
            for face in self.detect(_rotate(reduced, degrees))
            if face.detection_probability >= MIN_ROTATED_PROBABILITY
        ]


def crops(picture: Image.Image, found: Iterable[Face]) -> list[Image.Image]:
    """Return the square of each face, or of each prediction, as the classifier sees it."""
    found = list(found)
    if any(one.brightened for one in found):
        picture = brighten(picture)
    return [crop(picture, one.box_xyxy, rotation_degrees=one.rotation_degrees) for one in found]


def brighten(picture: Image.Image) -> Image.Image:
    """Return a dark picture stretched to the full range; any other, and a black one, itself."""
    counts = np.cumsum(_reduce(picture, DARK_SAMPLE_PIXELS).convert("L").histogram())
    level = int(np.searchsorted(counts, BRIGHT_QUANTILE * counts[-1]))
    if not BLACK_LEVEL <= level < DARK_LEVEL:
        return picture
    return picture.point(lambda value: min(255, value * 255 // level))


def crop(
    picture: Image.Image,
    box_xyxy: BoxXyxy,
    framing_scale: float = FRAMING_SCALE,
    rotation_degrees: int = 0,
) -> Image.Image:
    """Return the square around a face's box with FER2013's margin, rotated clockwise.

    Where the square leaves the picture, the picture's edge pixels are repeated, so that the face
    stays where FER2013 has it. A box that is the whole picture returns the picture itself, square
    or not: it is a crop already.
    """
    if box_xyxy == (0, 0, *picture.size):
        return _rotate(picture, rotation_degrees)
    left, top, right, bottom = box_xyxy
    side = max(1, round(math.sqrt(_area(box_xyxy)) * framing_scale))
    left, top = round((left + right - side) / 2), round((top + bottom - side) / 2)
    columns = np.arange(left, left + side).clip(0, picture.width - 1)
    rows = np.arange(top, top + side).clip(0, picture.height - 1)
    inside = picture.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    pixels = np.asarray(inside).take(rows - rows[0], axis=0).take(columns - columns[0], axis=1)
    return _rotate(Image.fromarray(pixels), rotation_degrees)


def _rotate(picture: Image.Image, degrees: int) -> Image.Image:
    return picture.transpose(CLOCKWISE[degrees]) if degrees else picture


def _reduce(picture: Image.Image, max_pixels: int) -> Image.Image:
    """Return a copy of at most so many pixels; a smaller picture as it is."""
    scale = math.sqrt(max_pixels / (picture.width * picture.height))
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.size]
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _is_sure(face: Face) -> bool:
    return face.detection_probability >= SURE_PROBABILITY


def _evidence(found: list[Face]) -> tuple[bool, float]:
    """Return how much speaks for a rotation: a sure face first, then all probabilities added."""
    return any(map(_is_sure, found)), sum(face.detection_probability for face in found)


def _apart(found: list[Face]) -> list[Face]:
    """Return each face once, in the rotation in which it is surest."""
    boxes = torch.tensor([face.box_xyxy for face in found])
    scores = torch.tensor([face.detection_probability for face in found])
    return _largest([found[i] for i in nms(boxes, scores, SAME_FACE_OVERLAP)])


def _largest(found: list[Face]) -> list[Face]:
    return sorted(found, key=lambda face: _area(face.box_xyxy), reverse=True)[:MAX_FACES]


def _rotate_back(face: Face, degrees: int, size: tuple[int, int], to_size: tuple[int, int]) -> Face:
    """Return a face of a rotated copy, whose `size` is the unrotated one's, in the picture."""
    left, top, right, bottom = face.box_xyxy
    points = np.array([(left, top), (right, bottom), *face.landmarks])
    x, y = points.T
    width, height = size
    x, y = {90: (y, height - x), 180: (width - x, height - y), 270: (width - y, x)}[degrees]
    points = np.stack([x, y], axis=1) * np.divide(to_size, size)
    corners = points[:2]
    box = (*corners.min(axis=0).tolist(), *corners.max(axis=0).tolist())
    return replace(face, box_xyxy=box, landmarks=_points(points[2:]), rotation_degrees=degrees)


def _points(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    return tuple((x, y) for x, y in points.tolist())


def _area(box_xyxy: BoxXyxy) -> float:
    left, top, right, bottom = box_xyxy
    return (right - left) * (bottom - top)
