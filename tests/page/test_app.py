"""What app.py does on import: which model it serves, and what it leaves unloaded."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def app(monkeypatch, tiny_checkpoint):
    """The module app, on the tiny checkpoint."""
    monkeypatch.setenv("EMOTION_MODEL", str(tiny_checkpoint))
    monkeypatch.syspath_prepend(str(ROOT))
    import app

    return app


@pytest.mark.slow
def test_import_loads_nothing_for_training(tiny_checkpoint):
    code = (
        "import sys, app\n"
        "unwanted = {'datasets', 'accelerate', 'transformers', 'matplotlib', 'scipy', 'sklearn'}\n"
        "print(sorted(name for name in unwanted if sys.modules.get(name)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={"EMOTION_MODEL": str(tiny_checkpoint), "PATH": ""},
        capture_output=True,
        text=True,
    )
    assert done.stdout.strip() == "[]", done.stderr


def test_no_event_waits_for_a_thread(app):
    limits = {fn.concurrency_id: fn.concurrency_limit for fn in app.demo.fns.values()}
    counted = [1 if limit == "default" else limit for limit in limits.values()]
    assert sum(counted) <= app.MAX_THREADS


@pytest.mark.parametrize("is_asked_for", [True, False])
def test_the_model_asked_for_or_the_embedded_one_is_served(
    app, monkeypatch, tiny_checkpoint, is_asked_for
):
    if is_asked_for:
        monkeypatch.setenv("EMOTION_MODEL", str(tiny_checkpoint))
    else:
        monkeypatch.delenv("EMOTION_MODEL")
        monkeypatch.setattr(app, "EMBEDDED", tiny_checkpoint)
    detective, notice = app.load_detective()
    assert (detective.classifier.name, notice) == ("tiny", "")


@pytest.mark.parametrize("wanted", ["nobody/nothing-here", "no such folder"])
def test_a_model_out_of_reach_is_replaced_and_the_page_says_so(
    app, monkeypatch, tiny_checkpoint, caplog, wanted
):
    monkeypatch.setenv("EMOTION_MODEL", wanted)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(app, "EMBEDDED", tiny_checkpoint)
    detective, notice = app.load_detective()
    assert detective.classifier.name == "tiny"
    assert notice.startswith(f"This page runs on its embedded model instead of {wanted}. ")
    assert len(notice) > len(wanted) + 60  # and why
    assert caplog.messages == [notice]


def test_the_page_can_be_mounted_and_keeps_its_gate(app):
    parent = app.mount(FastAPI(), "/faces")
    with TestClient(parent, base_url="http://here/faces") as client:
        assert "Emotion Detective" in client.get("/").text
        picture = (ROOT / "examples" / "one_face.jpg").read_bytes()
        (path,) = client.post("/gradio_api/upload", files={"files": picture}).json()
        said = ask(client, {"path": path, "meta": {"_type": "gradio.FileData"}})
        assert len(said["faces"]) == 1
        refused = ask(client, {"path": "https://example.com/x.png"})
        assert refused["error"].startswith("Send the file itself")
        assert client.get("/gradio_api/file=https://example.com/x.png").status_code == 403
        assert client.post("/gradio_api/upload", data={"text": "x"}).status_code == 400
        assert client.post("/gradio_api/reset", content=b"x" * 16_000_001).status_code == 413
        assert Path(path).is_file()
    assert not Path(path).exists()  # uvicorn ends by a signal, and atexit is not run then


def ask(client: TestClient, upload: dict) -> dict:
    """Return what `/predict` says of an upload."""
    event = client.post("/gradio_api/call/predict", json={"data": [upload, False]}).json()
    answer = client.get(f"/gradio_api/call/predict/{event['event_id']}").text
    said = json.loads(answer.rpartition("data: ")[2])
    return said[0] if isinstance(said, list) else said
