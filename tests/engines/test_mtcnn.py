"""The detector finds what facenet-pytorch's own `MTCNN.detect` finds."""

from collections.abc import Iterator

import crowds
import numpy as np
import pytest
import torch
from corpus import noise
from facenet_pytorch import MTCNN
from PIL import Image
from small import ROOT

from emotion_detective.core.faces import MIN_FACE_PX
from emotion_detective.engines import mtcnn

EXAMPLES = sorted((ROOT / "examples").glob("*.jpg"))
TURNS_AND_SIZES = [(0, 512), (12, 512), (-30, 400), (0, 90), (0, 26), (180, 300)]


@pytest.fixture(scope="module")
def ours() -> Iterator[mtcnn.Mtcnn]:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield mtcnn.Mtcnn(MIN_FACE_PX, torch.device("cpu"))
    assert torch.get_num_threads() == 2  # the workers have numbers of their own
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def theirs() -> MTCNN:
    return MTCNN(min_face_size=MIN_FACE_PX, keep_all=True)


def assert_same_faces(ours: mtcnn.Mtcnn, theirs: MTCNN, picture: Image.Image) -> int:
    """Assert equal faces, whatever their order, and return how many they are."""
    boxes, probabilities, landmarks = ours.find(np.asarray(picture))
    expected_boxes, expected_probabilities, points = theirs.detect(picture, landmarks=True)
    if expected_boxes is None:
        assert len(boxes) == len(probabilities) == 0
        return 0
    assert boxes.shape == expected_boxes.shape
    distances = np.abs(boxes[:, None] - expected_boxes[None].astype(float)).max(axis=-1)
    partner = distances.argmin(axis=1)
    assert sorted(partner) == list(range(len(boxes)))
    assert distances.min(axis=1).max() < 0.5
    expected = points[partner].astype(float)
    np.testing.assert_allclose(landmarks, expected, atol=0.5)
    np.testing.assert_allclose(
        probabilities, expected_probabilities[partner].astype(float), atol=1e-4
    )
    return len(boxes)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_have_the_same_faces(ours, theirs, path):
    assert_same_faces(ours, theirs, Image.open(path).convert("RGB"))


@pytest.mark.parametrize("degrees, side", TURNS_AND_SIZES)
def test_a_portrait_of_any_turn_and_size_has_the_same_faces(ours, theirs, astronaut, degrees, side):
    assert_same_faces(ours, theirs, astronaut.resize((side, side)).rotate(degrees))


@pytest.mark.parametrize("count", [0, 30])
def test_a_crowd_has_the_same_faces(ours, theirs, count):
    assert assert_same_faces(ours, theirs, crowds.crowd((640, 480), count, 5)) >= count


def test_faces_over_every_edge_are_the_same(ours, theirs, astronaut):
    assert assert_same_faces(ours, theirs, astronaut.crop((185, 66, 262, 172)).resize((160, 240)))


@pytest.mark.parametrize("size", [(25, 25), (25, 400), (401, 26), (123, 457), (1281, 33)])
def test_noise_of_any_shape_has_the_same_faces(ours, theirs, size):
    assert_same_faces(ours, theirs, noise(*size))


def test_sums_that_wrap_around_leave_the_faces_the_same(astronaut):
    """White above and left of the portrait makes sums of over 2**31."""
    picture = Image.new("RGB", (3500, 3500), "white")
    picture.paste(astronaut, (2988, 2988))
    large = mtcnn.Mtcnn(100, torch.device("cpu")), MTCNN(min_face_size=100, keep_all=True)
    assert assert_same_faces(*large, picture) == 1
