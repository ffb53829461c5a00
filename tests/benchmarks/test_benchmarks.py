"""The benchmarks' arithmetic and protocols, and each of them run small on a tiny network."""

import asyncio
import contextlib
import importlib
import json
import sys
from pathlib import Path

import analysis_speed
import crowds
import httpx
import peers
import photo_to_answer
import pytest
import report
import start_up
import throughput
import timing
import torch
import training_speed
import video_speed
import visitors
from small import TINY, in_a_thread, write_source

from emotion_detective import data
from emotion_detective.core import faces
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.engines import runtime
from emotion_detective.training import networks
from emotion_detective.training.recipe import TrainConfig

FACE = {
    "box": [0.0, 0.0, 9.0, 9.0],
    "detection": 0.99,
    "label": "happy",
    "confidence": 0.7,
    "unsure": False,
    "probabilities": {"happy": 0.7, "sad": 0.3},
}
ANSWER = {"model": {"id": "tiny", "revision": None}, "faces": [FACE], "message": "1 face"}


@pytest.fixture(scope="module")
def crowd_file(tmp_path_factory) -> Path:
    """Five faces in 640x480 as a JPEG file."""
    path = tmp_path_factory.mktemp("crowd") / "crowd.jpg"
    crowds.crowd((640, 480), 5).save(path, quality=crowds.JPEG_QUALITY)
    return path


def test_a_crowd_has_as_many_faces_as_were_asked_for():
    detector = faces.FaceDetector()
    here, there = (
        [face.box_xyxy for face in detector.detect(crowds.crowd((640, 480), 3, shift))]
        for shift in (0, 20)
    )
    assert len(here) == len(there) == 3
    moved = [
        after[0] - before[0] for before, after in zip(sorted(here), sorted(there), strict=True)
    ]
    assert moved == pytest.approx([20] * 3, abs=6)
    assert detector.detect(crowds.crowd((640, 480), 0)) == []
    with pytest.raises(ValueError, match="room for 0 to 30 faces, not for 31"):
        crowds.crowd((640, 480), 31)


def test_times_are_medians_of_alternating_rounds_after_the_first(monkeypatch):
    called, clock = [], {"a": iter([99, 5, 1, 3]), "b": iter([99, 2, 2, 8])}

    def seconds(call) -> int:
        return next(clock[call()])

    def call(name: str) -> str:
        called.append(name)
        return name

    monkeypatch.setattr(timing, "seconds", seconds)
    found = timing.medians({"a": lambda: call("a"), "b": lambda: call("b")}, rounds=3)
    assert called == ["a", "b"] * 4
    assert found == {"a": 3, "b": 2}


def test_a_photo_is_timed_stage_by_stage(tiny_checkpoint, crowd_file):
    row = photo_to_answer.measure(str(tiny_checkpoint), str(crowd_file), rounds=1)
    assert row["found"] == 5
    assert tuple(row["stages_s"]) == photo_to_answer.STAGES
    inside = [row["stages_s"][stage] for stage in ("decode", "detect", "crop", "classify")]
    assert min(inside) > 0
    assert row["answer_s"] > min(inside)


def test_fer_answers_in_turn_from_its_own_interpreter(
    tmp_path, monkeypatch, crowd_file, tiny_checkpoint
):
    (tmp_path / "fer").mkdir()
    (tmp_path / "fer" / "__init__.py").touch()
    (tmp_path / "fer" / "fer.py").write_text(
        "class FER:\n"
        "    def __init__(self, mtcnn): assert mtcnn\n"
        "    def detect_emotions(self, path): print('noise'); return [open(path, 'rb')] * 2\n"
    )
    (tmp_path / "fer-7.dist-info").mkdir()
    (tmp_path / "fer-7.dist-info" / "METADATA").write_text("Name: fer\nVersion: 7\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    detective = EmotionDetective.from_pretrained(tiny_checkpoint)
    answer = photo_to_answer.compare(detective, str(crowd_file), 2, sys.executable)
    assert (answer["version"], answer["found"]) == ("7", 2)
    assert answer["first_s"] > 0 and answer["answer_s"] > 0
    assert len(answer["faster"]) == 2 and min(answer["faster"]) > 0


def page_like(status: int, events: str) -> httpx.AsyncClient:
    """Return a client of a page that answers every question like this."""

    def answer(request: httpx.Request) -> httpx.Response:
        if request.url.path.endswith("/upload"):
            assert b"picture.jpg" in request.content
            return httpx.Response(200, json=["/uploads/picture.jpg"])
        if request.method == "POST":
            upload = {"path": "/uploads/picture.jpg", "meta": {"_type": "gradio.FileData"}}
            assert json.loads(request.content) == {"data": [upload, False]}
            full = {"detail": "Queue is full. Max size is 64 and size is 64."}
            return httpx.Response(status, json={"event_id": "e"} if status == 200 else full)
        return httpx.Response(200, text=events)

    return httpx.AsyncClient(transport=httpx.MockTransport(answer), base_url="http://page")


def ask(status: int, events: str, path: Path) -> dict:
    visit = visitors.plain_visitor(page_like(status, events))
    return in_a_thread(asyncio.run, visit(path))


def test_a_visitor_takes_the_answer_that_ends_the_stream(tmp_path):
    path = tmp_path / "picture.jpg"
    path.write_bytes(b"pixels")
    waited = "event: heartbeat\ndata: null\n\n" * 2
    complete = f"event: complete\ndata: {json.dumps([ANSWER])}\n\n"
    assert ask(200, waited + complete, path) == ANSWER
    with pytest.raises(visitors.RefusedError, match=r"event: error: data: .*no"):
        ask(200, waited + 'event: error\ndata: {"error": "no"}\n\n', path)
    with pytest.raises(visitors.BusyError):
        ask(503, "", path)
    with pytest.raises(httpx.HTTPStatusError):
        ask(500, "", path)


@pytest.mark.parametrize("page", sorted(report.ROOT.glob("benchmarks/*.md")), ids=lambda p: p.stem)
def test_a_page_says_what_its_numbers_say(page):
    name = page.stem.removesuffix("_test").removesuffix("_validation")
    result = json.loads(page.with_suffix(".json").read_text())
    if name == "peers":
        lines = [peers.table(result)]
    else:
        lines = importlib.import_module(name).markdown(
            result["runs"] if name == "recipes" else result
        )
    assert page.read_text().strip() == "\n".join(lines).strip()


@pytest.mark.parametrize("name", ["analysis_speed", "load", "start_up", "training_speed"])
def test_a_benchmark_that_measures_the_same_again_writes_the_same(name, tmp_path, monkeypatch):
    page = report.ROOT / "benchmarks" / f"{name}.md"
    if not page.is_file():
        pytest.skip(f"{name} was not yet run")
    module = importlib.import_module(name)
    recorded = json.loads(page.with_suffix(".json").read_text())
    monkeypatch.setattr(module, "measure", lambda *_: recorded)
    monkeypatch.setattr(data, "load", lambda _: {})
    words = ["--output", str(tmp_path / name)]
    words += ["--data", "x"] if name == "training_speed" else []
    monkeypatch.setattr(sys, "argv", [f"{name}.py", *words])
    with contextlib.suppress(SystemExit):
        module.main()
    assert (tmp_path / page.name).read_text() == page.read_text()


@pytest.mark.slow
def test_the_library_is_timed_from_its_start(tiny_checkpoint):
    row = start_up.library(tiny_checkpoint)
    assert 0 < row["imported_s"] < row["answered_s"]
    assert row["peak_mb"] > 100


def test_formats_are_held_against_float32():
    torch.manual_seed(0)
    network = networks.create_network(TINY).eval()
    with torch.no_grad():
        network.get_classifier().weight.normal_(std=0.5)
    result = throughput.measure(network, torch.randn(8, 3, 32, 32), runtime.CPU, rounds=1)
    assert result["compared"] == 8
    assert result["largest_difference"]["float32"] == 0
    assert result["largest_difference"]["served"] < 1e-5
    assert 0 < result["largest_difference"]["bfloat16"] < 0.2
    assert list(result["faces_a_second"]) == [str(batch) for batch in throughput.BATCHES]
    assert min(min(row.values()) for row in result["faces_a_second"].values()) > 0


@pytest.mark.slow
def test_a_film_is_analyzed_and_annotated(tiny_checkpoint, tmp_path, monkeypatch):
    monkeypatch.setattr(video_speed, "SIZE", (640, 360))
    detective = EmotionDetective.from_pretrained(tiny_checkpoint)
    row = video_speed.measure(detective, tmp_path, count=2, seconds=1, rounds=1)
    assert (row["faces"], row["frames"], row["readings"]) == (2, 4, 8)
    assert row["frames_a_second"] == pytest.approx(4 * row["analyzed_s_a_second"])
    assert row["annotated_s_a_second"] > 0
    assert video_speed.goals([row])[1] == ("every face found in every frame", "8 of 8", True)


@pytest.mark.slow
def test_a_folder_is_analyzed_and_its_parts_are_timed_alone(tiny_checkpoint, tmp_path):
    row = analysis_speed.measure(str(tiny_checkpoint), tmp_path, photos=8, processes=1)
    assert row["rows"] == {"ok": 12, "no_face": 2, "unreadable": 0}
    assert min(row["alone_s"].values()) > 0
    share_s = sum(row["alone_s"].values())
    (goal,) = analysis_speed.goals(row | {"picture_s": 1.25 * share_s})
    assert goal == ("at most 10% above the parts' share of 1 cores", "+25%", False)


@pytest.mark.slow
def test_three_recipes_train_the_same_network(tmp_path, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    parts = data.load(write_source(tmp_path / "fer", train=8, test=4))
    config = TrainConfig(
        architecture=TINY,
        batch_size=8,
        image_sizes=(32,),
        image_size_shares=(1.0,),
        limit=16,
    )
    result = training_speed.measure(config, parts, workers=1, rounds=1, steps=1)
    assert min(result[name] for name in ("ours", "plain", "bare")) > 0
    with pytest.raises(ValueError, match="4 images do not fill a batch of 8"):
        training_speed.measure(TrainConfig(batch_size=8, limit=4), parts, 1, 1, 1)
