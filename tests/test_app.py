"""What app.py does on import: which model it serves, and what it leaves unloaded."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]


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
        "unwanted = {'datasets', 'accelerate', 'transformers', 'matplotlib', 'scipy', 'sklearn', "
        "'triton'}\n"
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


def test_the_model_asked_for_is_served_without_a_notice(app, monkeypatch, tiny_checkpoint):
    monkeypatch.setenv("EMOTION_MODEL", str(tiny_checkpoint))
    detective, notice = app.load_detective()
    assert detective.classifier.name == "tiny"
    assert notice == ""


def test_without_a_wish_the_embedded_model_is_served(app, monkeypatch, tiny_checkpoint):
    monkeypatch.delenv("EMOTION_MODEL")
    monkeypatch.setattr(app, "EMBEDDED_MODEL", tiny_checkpoint)
    detective, notice = app.load_detective()
    assert detective.classifier.name == "tiny"
    assert notice == ""


@pytest.mark.parametrize("wanted", ["nobody/nothing-here", "no such folder"])
def test_a_model_out_of_reach_is_replaced_and_the_page_says_so(
    app, monkeypatch, tiny_checkpoint, wanted
):
    monkeypatch.setenv("EMOTION_MODEL", wanted)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setattr(app, "EMBEDDED_MODEL", tiny_checkpoint)
    detective, notice = app.load_detective()
    assert detective.classifier.name == "tiny"
    assert notice.startswith(f"This page runs on its embedded model instead of {wanted}. ")
    assert len(notice) > len(wanted) + 60  # and why


def test_uploads_are_deleted_and_nothing_is_reported(app):
    assert app.demo.delete_cache == (60, 600)
    assert app.demo.analytics_enabled is False
