"""Boxes on pictures: where they are and in which colour."""

import numpy as np
import pytest
from PIL import Image, ImageColor
from small import prediction

from emotion_detective import LABELS
from emotion_detective.core import drawing


def test_every_label_has_a_colour_of_its_own():
    assert tuple(drawing.COLORS) == LABELS
    assert len({*drawing.COLORS.values(), drawing.UNSURE_COLOR}) == len(LABELS) + 1


def test_a_box_has_its_labels_colour_and_the_picture_stays_as_it_was():
    picture = Image.new("RGB", (200, 160))
    drawn = drawing.draw_faces(picture, [prediction("sad", box=(50, 60, 120, 140))])
    assert drawn.getpixel((50, 100)) == ImageColor.getrgb(drawing.COLORS["sad"])
    assert drawn.getpixel((85, 100)) == (0, 0, 0)
    assert picture.getbbox() is None


def test_an_unsure_box_is_dashed():
    face = prediction(box=(50, 60, 350, 380), unsure=True)
    drawn = drawing.draw_faces(Image.new("RGB", (400, 400)), [face])
    left_edge = np.asarray(drawn)[70:370, 51].sum(axis=1)
    assert {0 < value < 700 for value in left_edge} == {True, False}  # dark and white pieces


@pytest.mark.parametrize("size", [(1, 1), (48, 48), (3000, 20), (64, 4000)])
def test_a_box_as_large_as_any_picture_can_be_drawn(size):
    picture = Image.new("RGB", size)
    view, (seen,) = drawing.to_view(picture, [prediction(box=(0, 0, *size))])
    assert drawing.draw_faces(view, [seen]).size == view.size
    assert drawing.MIN_VIEW_PX <= max(view.size) <= drawing.MAX_VIEW_PX
    assert seen.box_xyxy[2:] == pytest.approx(view.size, abs=1)
