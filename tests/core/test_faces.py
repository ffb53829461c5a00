"""Faces are found where they are, and framed as FER2013 frames them."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from corpus import noise
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from small import ROOT

from emotion_detective.core import faces
from emotion_detective.files import read_picture

ASTRONAUT_BOX = (179, 59, 268, 176)


@pytest.fixture(scope="module")
def detector() -> faces.FaceDetector:
    return faces.FaceDetector()


@pytest.fixture(scope="module")
def head(astronaut) -> Image.Image:
    """The astronaut's head, 160x200; the face's box is 117 px high in it."""
    return astronaut.crop((145, 15, 305, 215))


def close(box: tuple, expected: tuple, atol: float) -> bool:
    return bool(np.abs(np.subtract(box, expected)).max() <= atol)


# Finding faces


def test_a_portrait_has_one_face_where_it_is(detector, astronaut):
    (face,) = detector.detect(astronaut)
    assert close(face.box_xyxy, ASTRONAUT_BOX, atol=3)
    assert face.detection_probability > 0.999


def test_several_faces_come_largest_first(detector, head):
    picture = Image.new("RGB", (900, 500), "slategray")
    heights = [200, 60, 320, 110]
    corners = [(40, 60), (260, 80), (360, 60), (700, 200)]
    for height, corner in zip(heights, corners, strict=True):
        picture.paste(head.resize((round(height * 0.8), height)), corner)
    found = detector.detect(picture)
    box_heights = [face.box_xyxy[3] - face.box_xyxy[1] for face in found]
    expected = [height * 117 / 200 for height in sorted(heights, reverse=True)]
    np.testing.assert_allclose(box_heights, expected, rtol=0.2)


def test_boxes_of_a_large_picture_are_in_its_own_pixels(detector, astronaut):
    large = astronaut.resize((3072, 3072), Image.Resampling.BICUBIC)
    (face,) = detector.detect(large)
    assert close(face.box_xyxy, tuple(6 * side for side in ASTRONAUT_BOX), atol=30)


@pytest.mark.parametrize("size", [(1, 1), (1, 3000), (12, 12), (20, 20), (24, 24), (25, 25)])
def test_pictures_too_small_for_a_face_have_none(detector, astronaut, size):
    assert detector.detect(astronaut.resize(size)) == []


@settings(max_examples=10, deadline=None)
@given(width=st.integers(1, 400), height=st.integers(1, 400))
def test_boxes_lie_inside_whatever_the_shape(astronaut, width, height):
    lenient = faces.FaceDetector(min_probability=0.0)
    areas = []
    for face in lenient.detect(astronaut.crop((140, 20, 310, 220)).resize((width, height))):
        left, top, right, bottom = face.box_xyxy
        assert 0 <= left < right <= width and 0 <= top < bottom <= height
        areas.append((right - left) * (bottom - top))
    assert areas == sorted(areas, reverse=True)


def test_threads_find_what_one_thread_finds(detector, astronaut):
    pictures = [astronaut.resize((side, side)) for side in (200, 260, 320, 380)] * 3
    alone = [detector.detect(picture) for picture in pictures]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(detector.detect, pictures)) == alone


@pytest.mark.parametrize("degrees", faces.CLOCKWISE)
def test_a_picture_without_exif_on_its_side_has_its_face_where_it_lies(
    detector, astronaut, degrees
):
    upright = astronaut.crop((0, 0, 512, 400)).resize((1536, 1200))
    lying = upright.rotate(degrees, expand=True)  # counterclockwise
    (expected,) = detector.detect(upright)
    (face,) = detector.detect_any_rotation(lying)
    assert face.rotation_degrees == degrees
    (seen,), (wanted,) = faces.crops(lying, [face]), faces.crops(upright, [expected])
    seen = seen.resize(wanted.size)
    assert np.abs(np.subtract(np.asarray(seen, int), np.asarray(wanted, int))).mean() < 4


def test_several_faces_on_their_side_outweigh_one_that_only_seems_upright(detector):
    group = read_picture(ROOT / "examples" / "five_faces.jpg").picture
    lying = group.transpose(Image.Transpose.ROTATE_270)
    assert len(detector.detect(lying)) == 1
    found = detector.detect_any_rotation(lying)
    assert [face.rotation_degrees for face in found] == [270] * 4
    upright = [
        face
        for face in detector.detect(group)
        if face.detection_probability >= faces.MIN_ROTATED_PROBABILITY
    ]
    for face, (left, top, right, bottom) in zip(found, (f.box_xyxy for f in upright), strict=True):
        assert close(face.box_xyxy, (640 - bottom, left, 640 - top, right), atol=1e-3)


def test_a_photo_with_a_sure_face_is_looked_at_once(detector, astronaut, monkeypatch):
    looks, detect = [], detector.detect
    monkeypatch.setattr(detector, "detect", lambda picture: looks.append(1) or detect(picture))
    assert detector.detect_any_rotation(astronaut) == detect(astronaut)
    assert len(looks) == 1


def test_an_albums_page_has_its_faces_in_every_rotation(detector, astronaut):
    page = Image.new("RGB", (1500, 1000), "ivory")
    rotations = (0, 90, 180, 270, 90, 0)
    for i, degrees in enumerate(rotations):
        photo = astronaut.rotate(degrees, expand=True).resize((380, 380))
        page.paste(photo, (60 + i % 3 * 480, 60 + i // 3 * 470))
    found = detector.detect_any_rotation(page)
    places = [(box[1] > 500, box[0]) for box in (face.box_xyxy for face in found)]
    in_order = [found[i].rotation_degrees for i in np.argsort([9999 * b + x for b, x in places])]
    assert in_order == list(rotations)


@pytest.mark.parametrize("light", [0.08, 0.03])
def test_faces_in_the_dark_are_found_and_seen_brightened(detector, light):
    group = read_picture(ROOT / "examples" / "six_people.jpg").picture
    dark = group.point(lambda level: round(level * light))
    found = detector.detect(dark)
    assert len(found) == 6 and all(face.brightened for face in found)
    assert not any(face.brightened for face in detector.detect(group))
    (crop, *_), (wanted, *_) = faces.crops(dark, found), faces.crops(group, found)
    assert abs(np.asarray(crop, int).mean() - np.asarray(wanted, int).mean()) < 30


def test_landmarks_lie_on_the_face_however_the_picture_lies(detector, astronaut):
    (upright,) = detector.detect(astronaut)
    eyes, mouth = upright.landmarks[:2], upright.landmarks[3:]
    assert close(eyes, ((205, 101), (247, 104)), atol=6)
    assert close(mouth, ((202, 139), (245, 142)), atol=6)
    (lying,) = detector.detect_any_rotation(astronaut.transpose(Image.Transpose.ROTATE_90))
    assert close(lying.landmarks, [(y, 512 - x) for x, y in upright.landmarks], atol=0.1)


@pytest.mark.parametrize("size", [(1080, 9000), (12000, 2000)])
def test_long_screenshots_and_panoramas_keep_their_faces(detector, astronaut, size):
    picture, head = Image.new("RGB", size, "slategray"), astronaut.crop((120, 20, 320, 260))
    place = 100 + 1100 * np.arange(8) if size[1] > size[0] else 100 + 1450 * np.arange(8)
    head = head.resize((300, 360) if size[1] > size[0] else (400, 480))
    for at in place.tolist():
        picture.paste(head, (390, at) if size[1] > size[0] else (at, 760))
    assert len(detector.detect(picture)) == 8


# Framing crops


def test_a_crop_has_the_margin_around_the_boxs_centre():
    columns = np.tile(np.arange(250, dtype=np.uint8), (250, 1))
    picture = Image.fromarray(np.stack([columns, columns.T, 0 * columns], axis=-1))
    crop = np.asarray(faces.crop(picture, (80.0, 75.0, 160.0, 175.0)))
    side = round(np.sqrt(80 * 100) * faces.FRAMING_SCALE)
    assert crop.shape == (side, side, 3)
    assert crop[..., 0].mean() == pytest.approx(119.5, abs=1)
    assert crop[..., 1].mean() == pytest.approx(124.5, abs=1)


def test_crop_at_the_border_stays_square_and_repeats_the_edge():
    picture = Image.new("RGB", (200, 100), "red")
    picture.putpixel((0, 0), (0, 0, 255))
    crop = faces.crop(picture, (0.0, 0.0, 100.0, 100.0))
    assert crop.size == (109, 109)
    assert crop.getpixel((0, 0)) == (0, 0, 255) and crop.getpixel((50, 0)) == (255, 0, 0)


@pytest.mark.parametrize("size", [(48, 48), (30, 70), (1, 1)])
def test_the_whole_picture_is_its_own_crop(detector, size):
    picture = noise(*size)
    (face,) = detector.find(picture, whole_picture=True)
    assert face == faces.Face((0.0, 0.0, float(size[0]), float(size[1])), 1.0)
    assert faces.crop(picture, face.box_xyxy) is picture


@settings(max_examples=200, deadline=None)
@given(data=st.data(), width=st.integers(1, 300), height=st.integers(1, 300))
def test_crops_are_square_for_every_box_in_every_picture(data, width, height):
    left = data.draw(st.floats(0, width - 1))
    top = data.draw(st.floats(0, height - 1))
    box = (left, top, data.draw(st.floats(left + 1, width)), data.draw(st.floats(top + 1, height)))
    picture = Image.new("RGB", (width, height), (10, 20, 30))
    crop = faces.crop(picture, box)
    assert crop.getcolors() == [(crop.width * crop.height, (10, 20, 30))]
    if box != (0, 0, width, height):
        mean_side = np.sqrt((box[2] - left) * (box[3] - top))
        assert crop.width == crop.height == max(1, round(mean_side * faces.FRAMING_SCALE))
