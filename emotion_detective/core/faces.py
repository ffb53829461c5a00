"""Picture -> faces -> square crops, framed as FER2013 frames them. Knows no emotion and no Gradio.

`FaceDetector` finds faces with MTCNN (Zhang et al. 2016, arXiv 1604.02878) on a reduced copy, and
`crop` cuts what the classifier sees. Pictures are upright RGB, as `read_picture` returns them;
coordinates are their pixels, with the origin at the top left corner. `benchmarks/detection.py` and
`benchmarks/detector_in_the_loop.py` measure the constants.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image

from emotion_detective.engines import CPU, Mtcnn

# Pixels of the copy that faces are looked for in, 1280x960 of a photo: its area is limited, not its
# longest side, or a panorama's faces would vanish. Looked at whole, 12 megapixels take more than
# ten times as long (benchmarks/detection.md). Smaller pictures stay as they are.
DETECTION_PIXELS = 1280 * 960
# Smallest face looked for in that copy, 1.9% of a photo's longest side. 20 px would find the same
# faces of 20 px and a few of 16, for 1.4 times the time (benchmarks/detection.md).
MIN_FACE_PX = 24
# Keeps 87% of FER2013's small gray faces, where 0.97 keeps 82% and 0.99 70%. In 21 photos without
# people each of these boxes the same two: a lion's face and a wooden figure's; 0.8 boxes two more
# (benchmarks/detection.md).
MIN_DETECTION_PROBABILITY = 0.9
# An upright face is sure from here on: faces that lie on their side are found too, now and then,
# but none of the examples' above 0.997. A picture is looked at in three more rotations only where
# none is sure; a face found in them needs more than one found upright, or three more looks would
# find three times as many false ones.
SURE_PROBABILITY, MIN_ROTATED_PROBABILITY = 0.999, 0.99
# The largest faces of a crowd: what a CPU classifies in about a second.
MAX_FACES = 200

# Side of FER2013's crop divided by the geometric mean of the box's width and height: median of the
# 914 faces found in 1,200 training images, half of them within 1.00 and 1.20. Width or height alone
# spread as much. The centres lie on each other to 1.3% of the side, about a pixel of the input. In
# larger pictures 1.0 to 1.15 answer equally well, within the noise
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

    The face stands upright once the picture is rotated clockwise by `rotation_degrees`.
    """

    box_xyxy: BoxXyxy
    detection_probability: float
    rotation_degrees: int = 0


class FaceDetector:
    """MTCNN with its weights loaded once; `detect` keeps no state and may run in many threads."""

    def __init__(
        self,
        min_probability: float = MIN_DETECTION_PROBABILITY,
        device: torch.device = CPU,
    ) -> None:
        self._min_probability = min_probability
        self._mtcnn = Mtcnn(MIN_FACE_PX, device)

    def detect(self, picture: Image.Image) -> list[Face]:
        """Return the faces of an upright picture, largest first, at most `MAX_FACES`; maybe none.

        Faces smaller than `MIN_FACE_PX` once the picture is reduced to `DETECTION_PIXELS` are not
        looked for.
        """
        reduced = _reduce(picture)
        if min(reduced.size) <= MIN_FACE_PX:
            return []
        boxes, probabilities = self._mtcnn.find(np.asarray(reduced))
        scale = np.tile(np.divide(picture.size, reduced.size), 2)
        boxes = np.clip(boxes * scale, 0, np.tile(picture.size, 2))
        faces = [
            Face(tuple(box.tolist()), float(probability))
            for box, probability in zip(boxes, probabilities, strict=True)
            if probability >= self._min_probability and (box[2:] - box[:2]).min() >= 1
        ]
        return sorted(faces, key=lambda face: _area(face.box_xyxy), reverse=True)[:MAX_FACES]

    def detect_any_rotation(self, picture: Image.Image) -> list[Face]:
        """Return what `detect` does, or else the faces of a picture on its side or head.

        Only where no upright face is sure are the other three rotations looked at, for three times
        the time; the one with most evidence counts, if it has more than the picture as it is. Boxes
        are in the picture as it is.
        """
        upright = self.detect(picture)
        if any(face.detection_probability >= SURE_PROBABILITY for face in upright):
            return upright
        reduced = _reduce(picture)
        found = {degrees: self._detect_rotated(reduced, degrees) for degrees in CLOCKWISE}
        degrees = max(found, key=lambda degrees: _evidence(found[degrees]))
        if _evidence(found[degrees]) <= _evidence(upright):
            return upright
        return [_rotate_back(face, degrees, reduced.size, picture.size) for face in found[degrees]]

    def _detect_rotated(self, picture: Image.Image, degrees: int) -> list[Face]:
        """Return the faces of a picture rotated clockwise, with boxes in the rotated one."""
        found = self.detect(picture.transpose(CLOCKWISE[degrees]))
        return [face for face in found if face.detection_probability >= MIN_ROTATED_PROBABILITY]


def whole_picture(picture: Image.Image) -> Face:
    """Return the whole picture as one face, for pictures cropped to a face already."""
    return Face((0.0, 0.0, float(picture.width), float(picture.height)), 1.0)


def crops(picture: Image.Image, found: Iterable[Face]) -> list[Image.Image]:
    """Return the square of each face, or of each prediction, as the classifier sees it."""
    return [crop(picture, one.box_xyxy, rotation_degrees=one.rotation_degrees) for one in found]


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
    left, top, side = _framed_square(box_xyxy, framing_scale)
    columns = np.arange(left, left + side).clip(0, picture.width - 1)
    rows = np.arange(top, top + side).clip(0, picture.height - 1)
    inside = picture.crop((columns[0], rows[0], columns[-1] + 1, rows[-1] + 1))
    pixels = np.asarray(inside).take(rows - rows[0], axis=0).take(columns - columns[0], axis=1)
    return _rotate(Image.fromarray(pixels), rotation_degrees)


def _rotate(picture: Image.Image, degrees: int) -> Image.Image:
    return picture.transpose(CLOCKWISE[degrees]) if degrees else picture


def _reduce(picture: Image.Image) -> Image.Image:
    """Return a copy of at most `DETECTION_PIXELS`; a smaller picture as it is."""
    scale = math.sqrt(DETECTION_PIXELS / (picture.width * picture.height))
    if scale >= 1:
        return picture
    size = [max(1, round(side * scale)) for side in picture.size]
    return picture.resize(size, Image.Resampling.BILINEAR, reducing_gap=2.0)


def _evidence(found: list[Face]) -> tuple[bool, float]:
    """Return how much speaks for a rotation: a sure face first, then all probabilities added."""
    scores = [face.detection_probability for face in found]
    return any(score >= SURE_PROBABILITY for score in scores), sum(scores)


def _rotate_back(face: Face, degrees: int, size: tuple[int, int], to_size: tuple[int, int]) -> Face:
    """Return a face of a rotated copy, whose `size` is the unrotated one's, in the picture."""
    left, top, right, bottom = face.box_xyxy
    width, height = size
    left, top, right, bottom = {
        90: (top, height - right, bottom, height - left),
        180: (width - right, height - bottom, width - left, height - top),
        270: (width - bottom, left, width - top, right),
    }[degrees]
    across, down = to_size[0] / width, to_size[1] / height
    box = (left * across, top * down, right * across, bottom * down)
    return Face(box, face.detection_probability, degrees)


def _framed_square(box_xyxy: BoxXyxy, framing_scale: float) -> tuple[int, int, int]:
    """Return left, top and side of the square around a box's centre."""
    left, top, right, bottom = box_xyxy
    side = max(1, round(math.sqrt(_area(box_xyxy)) * framing_scale))
    return round((left + right - side) / 2), round((top + bottom - side) / 2), side


def _area(box_xyxy: BoxXyxy) -> float:
    left, top, right, bottom = box_xyxy
    return (right - left) * (bottom - top)
