"""What several test files share: a tiny random checkpoint, a small split, a face, and FER2013."""

import os
from collections.abc import Iterator
from pathlib import Path

import emotion_detective  # noqa: F401  before any library: none may send anything

# Two processes test side by side, and the pages and trainings that they start: each has one thread.
os.environ.setdefault("OMP_NUM_THREADS", "1")

import datasets
import numpy as np
import pytest
import torch
from PIL import Image
from running import connected, running_app
from small import ROOT, TINY, load_parts, write_source

from emotion_detective import LABELS, data
from emotion_detective.core.checkpoint import save_checkpoint
from emotion_detective.training.networks import create_network

FER_ZIP = ROOT.parent / "shared" / "data" / "emotion-detection-fer.zip"


@pytest.fixture(scope="session")
def source(tmp_path_factory) -> Path:
    """A folder like Kaggle's, which becomes 216 training, 24 validation and 48 test images."""
    return write_source(tmp_path_factory.mktemp("source") / "fer", train=40, test=8)


@pytest.fixture(scope="session")
def parts(source, tmp_path_factory) -> datasets.DatasetDict:
    """The splits of `source`."""
    return load_parts(source, tmp_path_factory.mktemp("cache"))


@pytest.fixture(scope="session")
def fer_zip() -> Path:
    """The Kaggle zip of FER2013, or skip."""
    if not FER_ZIP.is_file():
        pytest.skip(f"FER2013's zip is not at {FER_ZIP.relative_to(ROOT.parent)}")
    return FER_ZIP


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory) -> Path:
    """A checkpoint folder with random weights that answer every picture differently."""
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("checkpoints") / "tiny"
    network = create_network(TINY)
    with torch.no_grad():  # a fresh classifier is nearly silent: every probability would be 1/6
        network.get_classifier().weight.normal_(std=0.5)
    save_checkpoint(network, folder, image_size=64)
    return folder


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory) -> Path:
    """Where the server's log and uploads lie."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(server_folder, tiny_checkpoint) -> Iterator[str]:
    """The address of the running app."""
    with running_app(server_folder, tiny_checkpoint) as url:
        yield url


@pytest.fixture(scope="session")
def client(server):
    """A gradio_client of the running app."""
    return connected(server)


@pytest.fixture(scope="session")
def astronaut():
    """A colour portrait with one face (NASA, public domain), 512x512 RGB."""
    data = pytest.importorskip("skimage.data")
    return Image.fromarray(data.astronaut())


@pytest.fixture(scope="session")
def small_split() -> datasets.Dataset:
    """Twelve 48x48 gray pictures with the columns of `data.load`, every third not clean."""
    generator = np.random.default_rng(0)
    pictures = generator.integers(0, 256, (12, 48, 48), dtype=np.uint8)
    labels = [i % len(LABELS) for i in range(12)]
    return datasets.Dataset.from_dict(
        {
            "image": [Image.fromarray(picture) for picture in pictures],
            "label": labels,
            "file": [f"test/{LABELS[label]}/im{i}.png" for i, label in enumerate(labels)],
            "clean": [i % 3 != 0 for i in range(12)],
        },
        features=data.FEATURES,
    )
