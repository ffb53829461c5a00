"""The comparison with other packages: its protocol and its scores, without those packages."""

import io
import json
import zipfile

import numpy as np
import peers
import pytest
from PIL import Image


def png(pixels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


@pytest.fixture
def small_fer(tmp_path, monkeypatch):
    """Two PublicTest and three PrivateTest images a class, one of these a copy of a train image."""
    monkeypatch.setattr(peers, "PUBLIC_COUNTS", dict.fromkeys(peers.LABELS, 2))
    generator = np.random.default_rng(0)
    path = tmp_path / "fer.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for label in peers.LABELS:
            pictures = [png(generator.integers(0, 256, (48, 48), dtype=np.uint8)) for _ in range(5)]
            for i, number in enumerate((0, 1, 2, 9, 10)):  # 10 comes after 9, not after 1
                archive.writestr(f"test/{label}/im{number}.png", pictures[i])
            archive.writestr(f"train/{label}/im0.png", pictures[4])
        archive.writestr("test/disgusted/im0.png", pictures[0])
    return path


def test_a_classifier_that_reads_the_label_is_always_right(small_fer):
    splits = peers.read_splits(small_fer)
    labels = {
        crop.tobytes(): label
        for split in splits.values()
        for crop, label in zip(split.crops, split.labels, strict=True)
    }
    results = peers.measure(
        lambda crops: np.eye(6)[[labels[crop.tobytes()] for crop in crops]], splits
    )
    assert [results[name]["n"] for name in ("PublicTest", "PrivateTest", "clean")] == [12, 18, 12]
    assert all(scores["accuracy"] == scores["macro_f1"] == 1 for scores in results.values())
    row = {"package": "p", "version": "1", "python": "3", "date": "2026-01-01", "results": results}
    page = peers.table(json.loads(json.dumps({"p": row})))
    assert "| p (p 1) | 100.00 / 100.00 | **100.00 / 100.00** (100.0 to 100.0) |" in page


def test_columns_come_in_our_order():
    scores = np.arange(7)[None]
    assert peers.in_our_order(scores).tolist() == [[0, 2, 3, 6, 4, 5]]
