"""What each endpoint answers is what the running page states about it, and nothing else."""

import sys
from pathlib import Path

import pytest
from gradio_client import Client, handle_file
from jsonschema import Draft202012Validator
from running import connected

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from films import film

from emotion_detective.page import api

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ENDPOINTS = ("/predict", "/analyze_batch", "/analyze_video")


@pytest.fixture(scope="module")
def raw(server) -> Client:
    """A client that hands over what the server sent, files as their descriptions."""
    return connected(server, download_files=False)


@pytest.fixture(scope="module")
def stated(raw) -> dict:
    """What the page states about its endpoints."""
    return raw.view_api(print_info=False, return_format="dict")["named_endpoints"]


def closed(schema):
    """Return the schema allowing no fields beside those it names."""
    if isinstance(schema, list):
        return [closed(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    parts = {name: closed(part) for name, part in schema.items()}
    return parts | {"additionalProperties": False} if "properties" in schema else parts


def check(answer, endpoint: dict) -> None:
    parts = answer if len(endpoint["returns"]) > 1 else [answer]
    for part, stated in zip(parts, endpoint["returns"], strict=True):
        Draft202012Validator(closed(stated["type"])).validate(part)


def test_pictures_are_answered_as_stated(raw, stated):
    for name, faces in (("five_faces.jpg", 5), ("no_face.jpg", 0)):
        answer = raw.predict(handle_file(EXAMPLES / name), api_name="/predict")
        assert len(answer["faces"]) == faces
        check(answer, stated["/predict"])


def test_batches_are_answered_as_stated(raw, stated, tmp_path):
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"not a picture")
    sent = [EXAMPLES / "one_face.jpg", EXAMPLES / "no_face.jpg", broken]
    answer = raw.predict([handle_file(path) for path in sent], api_name="/analyze_batch")
    assert [row["status"] for row in answer[0]] == ["ok", "no_face", "unreadable"]
    check(answer, stated["/analyze_batch"])


def test_videos_are_answered_as_stated(raw, stated, tmp_path, astronaut):
    seen, empty = astronaut.resize((160, 160)), astronaut.resize((16, 16)).resize((160, 160))
    for picture, rows in ((seen, 2), (empty, 0)):
        path = film(tmp_path / f"{rows}.mp4", [picture] * 2, rate_hz=4)
        answer = raw.predict(handle_file(path), 4, api_name="/analyze_video")
        assert len(answer[0]) == rows
        assert set(answer[1]) == (set(api.Shares.__annotations__) if rows else set())
        check(answer, stated["/analyze_video"])
