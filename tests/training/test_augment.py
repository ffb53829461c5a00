"""Augmentation: each alteration does what it says, within 0..1, the same for the same seed."""

import io

import numpy as np
import pytest
import torch
from accelerate.utils import set_seed
from PIL import Image

from emotion_detective.training import augment


def test_augmentation_keeps_shape_and_range_and_is_repeatable():
    images = torch.rand(16, 1, 44, 44)
    set_seed(3)
    one = augment.augment(images, strength=1.0, erasing=1.0)
    set_seed(3)
    assert torch.equal(augment.augment(images, strength=1.0, erasing=1.0), one)
    assert one.shape == images.shape
    assert one.min() >= 0 and one.max() <= 1
    assert not torch.allclose(one[0], one[1])


def test_without_strength_a_face_is_itself_or_its_mirror_image():
    torch.manual_seed(0)
    images = torch.rand(64, 1, 48, 48)
    found = augment.augment(images, strength=0.0, erasing=0.0)
    same = (found - images).abs().amax(dim=(1, 2, 3)) < 1e-4
    mirrored = (found - images.flip(-1)).abs().amax(dim=(1, 2, 3)) < 1e-4
    assert (same ^ mirrored).all()
    assert 16 < mirrored.sum() < 48


def test_glasses_darken_the_eyes_of_their_fraction_and_nothing_else():
    images = torch.ones(400, 1, 96, 96)
    torch.manual_seed(0)
    worn = augment.wear_glasses(images, 0.25)
    with_glasses = (worn < 1).flatten(1).any(dim=1)
    assert with_glasses.float().mean() == pytest.approx(0.25, abs=0.07)
    dark = (worn < 1).float().mean(dim=0)[0]
    assert dark[:18].sum() == 0 and dark[56:].sum() == 0  # forehead; nose, cheeks and mouth
    torch.testing.assert_close(dark, dark.flip(1), atol=0.06, rtol=0)
    assert torch.equal(augment.wear_glasses(images, 0.0), images)


def test_augmentation_never_turns_a_face_upside_down():
    images = torch.linspace(0, 1, 48).view(1, 1, 48, 1).expand(64, 1, 48, 48)  # dark above
    torch.manual_seed(0)
    augmented = augment.move(images, strength=1.0)
    top, bottom = augmented[:, :, :24].mean(dim=(1, 2, 3)), augmented[:, :, 24:].mean(dim=(1, 2, 3))
    assert (top < bottom).all()


@pytest.mark.parametrize("quality", [20, 60])
def test_compression_leaves_what_a_jpeg_file_leaves(astronaut, quality):
    face = np.array(astronaut.convert("L").resize((96, 96)))
    file = io.BytesIO()
    Image.fromarray(face).save(file, "JPEG", quality=quality)
    expected = torch.tensor(np.array(Image.open(file))) / 255
    images = torch.tensor(face)[None, None] / 255
    found = augment.compress(images, torch.full((1, 1, 1, 1), float(quality)))[0, 0]
    assert (found - expected).abs().mean() < 0.003
    assert (images[0, 0] - expected).abs().mean() > 0.009


def test_faces_are_made_coarse_blurred_or_sharpened():
    torch.manual_seed(0)
    images = torch.rand(64, 1, 96, 96)
    detail = images.var()
    coarse = augment.coarsen(images, 1.0)
    assert coarse.var() < 0.5 * detail
    assert torch.equal(augment.coarsen(images, 0.0), images)
    focused = augment.refocus(images, 1.0).var(dim=(1, 2, 3))
    assert (focused < 0.8 * detail).any() and (focused > 1.2 * detail).any()


def test_erasing_blanks_a_rectangle_of_its_fraction_with_gray():
    faces = torch.zeros(200, 1, 96, 96)
    erased = augment.augment(faces, strength=0.0, erasing=0.3) > 0.4
    areas = erased.float().mean(dim=(1, 2, 3))
    assert (areas > 0).float().mean() == pytest.approx(0.3, abs=0.1)
    assert areas[areas > 0].min() > 0.01 and areas.max() < 0.23


def test_light_goes_down_to_a_third():
    torch.manual_seed(0)
    lit = augment.relight(torch.full((400, 1, 32, 32), 0.5), 1.0).mean(dim=(1, 2, 3))
    assert lit.min() < 0.2 and lit.max() > 0.5
