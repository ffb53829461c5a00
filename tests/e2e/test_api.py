"""The public API, called over HTTP as its users call it."""

import csv
import json
import os
import sys
import time
import urllib.request
import zipfile
from pathlib import Path

import pytest
from gradio_client import handle_file
from gradio_client.exceptions import AppError
from PIL import Image

from emotion_detective import LABELS
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.page import uploads

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from films import film
from running import connected, running_app

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def test_predict_answers_as_the_library_does(client, tiny_checkpoint):
    answer = client.predict(handle_file(EXAMPLES / "five_faces.jpg"), api_name="/predict")
    expected = EmotionDetective.from_pretrained(tiny_checkpoint).analyze(
        EXAMPLES / "five_faces.jpg"
    )
    assert list(answer) == ["model", "faces", "message"]
    assert answer["model"] == {"id": "tiny", "revision": None}
    assert answer["message"].startswith("5 faces: ")
    assert len(answer["faces"]) == len(expected) == 5
    for face, prediction in zip(answer["faces"], expected, strict=True):
        assert face["box"] == pytest.approx(prediction.box_xyxy, abs=0.5)
        assert face["detection"] == pytest.approx(prediction.detection_probability, abs=1e-3)
        assert face["label"] == prediction.label
        assert face["unsure"] is prediction.unsure
        assert face["confidence"] == max(face["probabilities"].values())
        assert tuple(face["probabilities"]) == LABELS
        assert list(face["probabilities"].values()) == pytest.approx(
            prediction.probabilities, abs=1e-3
        )


def test_predict_reads_the_whole_picture_as_one_face(client, tmp_path):
    path = tmp_path / "gray.png"
    Image.new("L", (48, 48), 90).save(path)
    nothing = client.predict(handle_file(path), api_name="/predict")
    whole = client.predict(handle_file(path), True, api_name="/predict")
    assert nothing["faces"] == []
    assert nothing["message"].startswith("No face found.")
    assert [face["box"] for face in whole["faces"]] == [[0, 0, 48, 48]]


def call(server: str, endpoint: str, data: list) -> str:
    """Call an endpoint as curl does, with a body written by hand; return its event stream."""
    url = f"{server}/gradio_api/call/{endpoint}"
    body = json.dumps({"data": data}).encode()
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request) as response:
        event = json.load(response)["event_id"]
    with urllib.request.urlopen(f"{url}/{event}") as response:
        return response.read().decode()


@pytest.mark.parametrize(
    ("endpoint", "further"), [("predict", [False]), ("analyze_batch", []), ("analyze_video", [4])]
)
def test_only_uploads_are_read(server, endpoint, further):
    upload = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    first = [upload] if endpoint == "analyze_batch" else upload
    answer = call(server, endpoint, [first, *further])
    assert "event: error" in answer
    assert uploads.UPLOAD_ONLY in answer
    assert "root:" not in answer


def test_batch_gives_a_row_for_every_face_and_every_bad_file(client, tmp_path):
    packed = tmp_path / "many.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(EXAMPLES / "no_face.jpg", "../../etc/none.jpg")
        archive.writestr("broken.png", b"not a picture")
        archive.writestr("__MACOSX/._x.jpg", b"")
    torn = tmp_path / "torn.zip"
    torn.write_bytes(packed.read_bytes()[:100])
    formula = tmp_path / "=1+1.jpg"
    formula.write_bytes((EXAMPLES / "one_face.jpg").read_bytes())
    sent = [handle_file(path) for path in (EXAMPLES / "five_faces.jpg", packed, torn, formula)]
    rows, table = client.predict(sent, api_name="/analyze_batch")
    assert [(row["file"], row["status"], row["face"]) for row in rows] == [
        ("five_faces.jpg", "ok", 1),
        ("five_faces.jpg", "ok", 2),
        ("five_faces.jpg", "ok", 3),
        ("five_faces.jpg", "ok", 4),
        ("five_faces.jpg", "ok", 5),
        ("many.zip/../../etc/none.jpg", "no_face", None),
        ("many.zip/broken.png", "unreadable", None),
        ("torn.zip", "unreadable", None),
        ("=1+1.jpg", "ok", 1),
    ]
    written = list(csv.DictReader(Path(table).read_text("utf-8-sig").splitlines()))
    assert list(written[0]) == list(rows[0])
    assert [row["status"] for row in written] == [row["status"] for row in rows]
    assert written[-1]["file"] == "'=1+1.jpg"
    assert json.loads(written[0]["box"]) == pytest.approx(rows[0]["box"], abs=0.1)


def test_video_gives_rows_frequencies_and_a_table(client, tmp_path, astronaut):
    path = film(tmp_path / "still.mp4", [astronaut.resize((320, 320))] * 8, rate_hz=4)
    rows, frequencies, table = client.predict(handle_file(path), 4, api_name="/analyze_video")
    assert [row["track"] for row in rows] == [1] * 8
    assert [row["time_s"] for row in rows] == pytest.approx([i / 4 for i in range(8)], abs=0.01)
    assert list(rows[0]) == ["time_s", "track", "box", "label", "confidence", "unsure", *LABELS]
    assert sum(frequencies.values()) == pytest.approx(1)
    assert len(Path(table).read_text("utf-8-sig").splitlines()) == 1 + 8


def test_only_the_three_functions_are_public(client):
    info = client.view_api(print_info=False, return_format="dict")
    assert set(info["named_endpoints"]) == {"/predict", "/analyze_batch", "/analyze_video"}
    assert info["unnamed_endpoints"] == {}
    answer = info["named_endpoints"]["/predict"]["returns"][0]["type"]
    assert list(answer["properties"]) == ["model", "faces", "message"]


def test_nothing_of_a_visitor_is_logged(client, server_folder, tmp_path):
    path = tmp_path / "secret-name.jpg"
    path.write_bytes(b"not a picture")
    before = (server_folder / "server.log").read_text()
    with pytest.raises(AppError, match="is no picture that can be read"):
        client.predict(handle_file(path), api_name="/predict")
    client.predict([handle_file(path)], api_name="/analyze_batch")
    assert (server_folder / "server.log").read_text() == before


@pytest.mark.slow
def test_uploads_and_results_are_deleted_from_disk(tmp_path, tiny_checkpoint):
    hurry = (
        "from emotion_detective.page import uploads\n"
        "uploads.KEEP_SECONDS, uploads.SWEEP_SECONDS = 4, 0.5"
    )
    killed = tmp_path / "uploads" / f"{uploads.PREFIX}killed" / "0" / "left.png"
    killed.parent.mkdir(parents=True)
    killed.touch()
    other = tmp_path / "uploads" / "another_program.txt"
    other.touch()
    with running_app(tmp_path, tiny_checkpoint, before=hurry, terminate=True) as url:
        client = connected(url, download_files=str(tmp_path / "downloads"))
        Image.new("RGB", (64, 64)).save(tmp_path / "visitor.png")
        picture = handle_file(tmp_path / "visitor.png")
        client.predict(picture, api_name="/predict")
        client.predict([picture], api_name="/analyze_batch")
        assert set(left_over(tmp_path / "uploads")) >= {"visitor.png", "batch.csv"}
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and left_over(tmp_path / "uploads") != [other.name]:
            time.sleep(0.5)
        assert left_over(tmp_path / "uploads") == [other.name]
        client.predict(picture, api_name="/predict")
    assert [path for path in (tmp_path / "uploads").rglob("*") if path.is_file()] == [other]


def left_over(folder: Path) -> list[str]:
    """Return the files on disk, but for the page's own examples, which stay."""
    examples = {path.name for path in EXAMPLES.iterdir()}
    # `os.walk` passes over a folder that is deleted meanwhile.
    return [name for _, _, names in os.walk(folder) for name in names if name not in examples]
