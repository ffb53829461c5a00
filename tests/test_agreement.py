"""The contract: one checkpoint folder, and every way to read it gives the same probabilities.

Our loader, `EmotionDetective`, timm, `transformers.pipeline` and the page's API are held to 1e-5 on
gray, colour, transparent and rotated pictures of a size that is not the network's.
"""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import timm
import torch
from gradio_client import handle_file
from PIL import Image, ImageOps
from timm.data import create_transform, resolve_model_data_config
from transformers import pipeline

from emotion_detective.core import checkpoint, loading
from emotion_detective.core import classifier as model
from emotion_detective.core.detective import EmotionDetective

ROOT = Path(__file__).resolve().parent.parent
ATOL = 1e-5
# PIL rounds luma to 8 bits; on three crops of a portrait that moved no probability by over 1.8e-4.
ROUNDING_ATOL = 5e-4
# EXIF: the camera was held upright, the sensor was not.
ORIENTATION_TAG, ROTATED_BY_90 = 0x0112, 6
KINDS = ("gray 48x48", "gray", "colour", "transparent", "rotated", "palette")


@pytest.fixture(scope="module")
def pictures(astronaut, tmp_path_factory) -> dict[str, Path]:
    """Files of one face, cropped wider than high, in every mode a visitor may send."""
    folder = tmp_path_factory.mktemp("pictures")
    face = astronaut.crop((165, 30, 285, 130))
    transparent = face.convert("RGBA")
    transparent.putalpha(Image.linear_gradient("L").resize(face.size))
    rotated = Image.Exif()
    rotated[ORIENTATION_TAG] = ROTATED_BY_90
    paths = {kind: folder / f"{kind}.png" for kind in KINDS}
    paths["rotated"] = folder / "rotated.jpg"
    face.convert("L").resize((48, 48)).save(paths["gray 48x48"])
    face.convert("L").save(paths["gray"])
    face.save(paths["colour"])
    transparent.save(paths["transparent"])
    face.rotate(90, expand=True).save(paths["rotated"], exif=rotated)
    face.quantize(64).save(paths["palette"])
    return paths


def by_loader(folder: Path) -> Callable[[Path], list[float]]:
    classifier = loading.load_classifier(folder)
    return lambda path: classifier.probabilities([ImageOps.exif_transpose(Image.open(path))])[0]


def by_detective(folder: Path) -> Callable[[Path], list[float]]:
    detective = EmotionDetective.from_pretrained(folder)
    return lambda path: detective.analyze(path, whole_picture=True)[0].probabilities


def by_timm(folder: Path) -> Callable[[Path], list[float]]:
    network = timm.create_model(f"local-dir:{folder}", pretrained=True).eval()
    transform = create_transform(**resolve_model_data_config(network))

    @torch.inference_mode()
    def read(path: Path) -> list[float]:
        picture = ImageOps.exif_transpose(Image.open(path)).convert("RGB")
        return network(transform(picture)[None]).softmax(1)[0].tolist()

    return read


def by_pipeline(folder: Path) -> Callable[[Path], list[float]]:
    classify = pipeline("image-classification", model=str(folder))

    def read(path: Path) -> list[float]:
        scores = {answer["label"]: answer["score"] for answer in classify(str(path), top_k=6)}
        return [scores[label] for label in model.LABELS]

    return read


READERS = (by_detective, by_timm, by_pipeline)


def assert_agreement(folder: Path, pictures: dict[str, Path]) -> None:
    loader = by_loader(folder)
    readers = [reader(folder) for reader in READERS]
    for kind, path in pictures.items():
        expected = loader(path)
        for reader in readers:
            np.testing.assert_allclose(reader(path), expected, atol=ATOL, err_msg=kind)


def test_every_reader_of_a_folder_gives_the_same_probabilities(tiny_checkpoint, pictures):
    assert_agreement(tiny_checkpoint, pictures)


def test_a_half_precision_folder_agrees_as_well(tiny_checkpoint, pictures, tmp_path):
    half = Path(shutil.copytree(tiny_checkpoint, tmp_path / "half"))
    checkpoint.convert_weights(tiny_checkpoint, half / checkpoint.WEIGHTS_FILE, torch.float16)
    assert_agreement(half, pictures)


@pytest.mark.parametrize("kind", KINDS)
def test_the_page_answers_as_the_loader_does(client, tiny_checkpoint, pictures, kind):
    answer = client.predict(handle_file(pictures[kind]), True, api_name="/predict")
    (face,) = answer["faces"]
    probabilities = [face["probabilities"][label] for label in model.LABELS]
    expected = by_loader(tiny_checkpoint)(pictures[kind])
    np.testing.assert_allclose(probabilities, expected, atol=ATOL)


def test_pictures_differ_enough_for_agreement_to_mean_something(tiny_checkpoint, pictures):
    loader = by_loader(tiny_checkpoint)
    upright, rotated = (Image.open(pictures[kind]).convert("RGB") for kind in ("colour", "rotated"))
    lying = loading.load_classifier(tiny_checkpoint).probabilities([upright, rotated])
    assert np.abs(lying[0] - lying[1]).max() > 1000 * ATOL  # EXIF ignored would show
    assert np.abs(loader(pictures["colour"]) - loader(pictures["gray 48x48"])).max() > 100 * ATOL


def test_a_colour_crop_gives_what_its_gray_version_gives(tiny_checkpoint, astronaut):
    classifier = loading.load_classifier(tiny_checkpoint)
    face = astronaut.crop((165, 30, 285, 130))
    swapped = Image.merge("RGB", face.split()[::-1])
    colour, gray, other = classifier.probabilities([face, face.convert("L"), swapped])
    np.testing.assert_allclose(colour, gray, atol=ROUNDING_ATOL)
    assert np.abs(colour - other).max() > 20 * ROUNDING_ATOL  # colour is not simply ignored
