"""Every benchmark runs small on a tiny network, and every page says what its numbers say."""

import asyncio
import importlib
import json
import sys
from argparse import Namespace

import ablations
import crowds
import datasets
import detector_in_the_loop
import hard_faces
import load
import peers
import photo_to_answer
import psutil
import pytest
import report
import start_up
import throughput
import torch
import training_speed
import video_speed
from measured import measured_checkpoint
from serving import Server
from small import SMALL_RUN, in_a_thread

from emotion_detective.core.detective import EmotionDetective
from emotion_detective.core.loading import load_classifier
from emotion_detective.engines import runtime
from emotion_detective.training.export import predict_split
from emotion_detective.training.recipe import TrainConfig

NUMBERS = sorted(report.ROOT.glob("benchmarks/*.json"))
FAKE_PEER = """
import sys, numpy
crops = numpy.load(sys.argv[3])
numpy.save(sys.argv[4], numpy.eye(6)[numpy.zeros(len(crops), int)])
print('{"package": "p", "version": "1"}')
"""
FAKE_FER = """
class FER:
    def __init__(self, mtcnn): assert mtcnn
    def detect_emotions(self, path): print('noise'); return [open(path, 'rb')] * 2
"""


@pytest.fixture(scope="module")
def classifier(tiny_checkpoint):
    return load_classifier(tiny_checkpoint)


@pytest.mark.parametrize("path", NUMBERS, ids=lambda path: path.stem)
def test_a_page_says_what_its_numbers_say(path):
    name = path.stem.removesuffix("_test").removesuffix("_validation")
    lines = importlib.import_module(name).markdown(json.loads(path.read_text()))
    assert path.with_suffix(".md").read_text().strip() == "\n".join(lines).strip()


def test_a_photo_is_timed_stage_by_stage_beside_fer(tmp_path, monkeypatch, tiny_checkpoint):
    (tmp_path / "fer").mkdir()
    (tmp_path / "fer" / "fer.py").write_text(FAKE_FER)
    (tmp_path / "fer-7.dist-info").mkdir()
    (tmp_path / "fer-7.dist-info" / "METADATA").write_text("Name: fer\nVersion: 7\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = str(tmp_path / "crowd.jpg")
    crowds.crowd((640, 480), 5).save(path)
    row = photo_to_answer.measure(str(tiny_checkpoint), path, 1, sys.executable)
    assert (row["found"], row["fer"]["found"], row["fer"]["version"]) == (5, 2, "7")
    assert tuple(row["stages_s"]) == photo_to_answer.STAGES
    assert row["answer_s"] > min(row["stages_s"].values()) > 0 and row["fer"]["faster"][0] > 0


def test_every_runtime_is_held_against_float32(classifier):
    result = throughput.measure(classifier.network, torch.randn(8, 3, 32, 32), runtime.CPU, 1)
    assert result["largest_difference"]["float32"] == 0
    assert result["largest_difference"]["served"] < 1e-5
    assert 0 < result["largest_difference"]["bfloat16"] < 0.2
    assert min(min(row.values()) for row in result["faces_a_second"].values()) > 0


def test_faces_as_they_are_are_predicted_as_evaluate_does(classifier, parts):
    probabilities, labels = predict_split(classifier, parts["validation"])
    found = hard_faces.accuracies(classifier, parts["validation"])
    assert found.keys() == hard_faces.CONDITIONS.keys()
    assert found["as they are"] == (probabilities.argmax(axis=1) == labels).mean()


def test_a_face_in_a_larger_picture_is_found_and_classified(classifier):
    faces = datasets.Dataset.from_dict({"image": [crowds.head(100)] * 2, "label": [2, 2]})
    found = detector_in_the_loop.measure(classifier, faces, (1.0,))
    assert (found["n"], found["found"], found["false_faces"]) == (2, 2, 0)
    assert found["in_the_loop"][0]["accuracy"] in (0, 0.5, 1)


def test_runs_are_compared_image_by_image(tiny_checkpoint, tmp_path, parts):
    folders = [measured_checkpoint(tiny_checkpoint, tmp_path / name) for name in ("one", "two")]
    rows = ablations.measure(folders, parts["validation"])
    assert (rows["two"]["difference"], rows["two"]["standard_error"]) == (0, 0)
    before, after = {"epochs": 3, "votes": None}, {"epochs": 3, "votes": "v.csv", "mixup": 0.0}
    assert ablations.changes(before, after) == "--votes v.csv"


def test_a_peer_that_always_says_angry_is_right_on_angry_faces(tmp_path, monkeypatch, parts):
    (tmp_path / "fake.py").write_text(FAKE_PEER)
    monkeypatch.setattr(peers, "SCRIPT", tmp_path / "fake.py")
    row = peers.measure("fer", sys.executable, parts["test"])
    assert (row["package"], row["results"]["all"]["recall"]["angry"]) == ("p", 1.0)
    assert row["results"]["all"]["accuracy"] == pytest.approx(1 / 6)


@pytest.mark.slow
def test_a_film_is_analyzed_and_annotated(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(video_speed, "SIZE", (640, 360))
    detective = EmotionDetective.from_pretrained(tiny_checkpoint)
    row = video_speed.measure(detective, tmp_path, count=2, seconds=1, rounds=1)
    assert (row["faces"], row["frames"], row["readings"]) == (2, 4, 8)
    assert row["annotated_s_a_second"] > 0


@pytest.mark.slow
def test_the_library_is_timed_from_its_start(tiny_checkpoint):
    assert 0 < (row := start_up.library(tiny_checkpoint))["ready_s"] < row["answered_s"]


@pytest.mark.slow
def test_a_step_and_its_bare_pass_train_the_same_network(parts):
    asked = Namespace(rounds=1, steps=1)
    result = training_speed.measure(asked, TrainConfig(**SMALL_RUN, limit=48), parts)
    assert min(result[name] for name in ("ours", "bare")) > 0


@pytest.mark.slow
def test_many_visitors_get_the_responses_of_a_quiet_page(server, tmp_path):
    pictures = load.write_pictures(tmp_path / "pictures")
    page = Server(server, psutil.Process(), begun_at=0, log=tmp_path)
    plan = load.Load(visitors=8, seconds=0, requests=20, warm_up=4)
    result = in_a_thread(asyncio.run, load.visit(plan, page, pictures))
    assert result["answers"] >= 24
    assert (result["errors"], result["busy"], result["wrong"]) == ({}, 0, 0)
