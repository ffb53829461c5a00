"""The folder of uploads: what is old goes, what is used or seen by all stays, nothing outlives."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small import ROOT, in_a_thread

from emotion_detective.page import upload_folder


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """The folder of this process, beside which others lie."""
    own = tmp_path / f"{upload_folder.PREFIX}own"
    own.mkdir()
    monkeypatch.setenv(upload_folder.VARIABLE, str(own))
    monkeypatch.setattr(upload_folder, "_lasting", set())
    return own


@pytest.fixture
def everything_is_old(monkeypatch):
    """Each file counts as not used for long."""
    monkeypatch.setattr(upload_folder, "KEEP_SECONDS", -1)


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_what_was_used_just_now_stays(own):
    young = make(own / "hash" / "young.png")
    upload_folder.sweep(own)
    assert young.exists()


def test_what_is_old_goes_with_its_folder_but_what_all_see(own, everything_is_old):
    example = make(own / "hash" / "example.png")
    upload_folder.spare_what_is_there()
    old = make(own / "other" / "old.png")
    upload_folder.sweep(own)
    assert example.exists()
    assert not old.parent.exists()
    assert own.exists()


def test_all_but_what_all_see_goes_when_the_server_ends(own):
    async def serve() -> Path:
        async with upload_folder.emptied_at_end(None):
            return make(own / "other" / "young.png")

    example = make(own / "hash" / "example.png")
    upload_folder.spare_what_is_there()
    sent = in_a_thread(asyncio.run, serve())
    assert example.exists() and not sent.parent.exists()


def test_what_is_in_use_stays_and_is_young_again_after(own, everything_is_old, monkeypatch):
    used, more = make(own / "a" / "used.png"), make(own / "b" / "more.png")
    with pytest.raises(KeyError), upload_folder.in_use([used, own / "gone.png"]) as names:
        names.append(str(more))
        upload_folder.sweep(own)
        assert used.exists() and more.exists()
        time.sleep(0.3)
        raise KeyError
    monkeypatch.setattr(upload_folder, "KEEP_SECONDS", 0.2)
    upload_folder.sweep(own)
    assert used.exists() and more.exists()
    time.sleep(0.3)
    upload_folder.sweep(own)
    assert not used.exists() and not more.exists()


def test_an_upload_on_its_way_has_more_time(own, everything_is_old, monkeypatch):
    on_its_way = make(own / "tmp123")
    upload_folder.sweep(own)
    assert on_its_way.exists()
    monkeypatch.setattr(upload_folder, "UPLOADING_SECONDS", -1)
    upload_folder.sweep(own)
    assert not on_its_way.exists()


def test_what_a_killed_process_left_goes_and_nothing_else_beside_it(own, monkeypatch):
    left = make(own.parent / f"{upload_folder.PREFIX}other" / "hash" / "left.png")
    others = make(own.parent / "emotion-detective" / "app.py")
    upload_folder.sweep(own)
    assert left.exists(), "its process may be alive"
    monkeypatch.setattr(upload_folder, "SWEEP_SECONDS", -1)
    upload_folder.sweep(own)
    assert not left.exists()
    assert others.exists() and own.exists()


def test_a_living_process_is_seen_by_its_sweeps(own):
    before = own.stat().st_ctime
    time.sleep(0.02)
    upload_folder.sweep(own)
    assert own.stat().st_ctime > before


def test_a_value_is_forgotten_some_time_after_its_last_use(own, monkeypatch):
    kept = upload_folder.Kept("faces")
    upload_folder.sweep(own)
    assert kept.value == "faces"
    monkeypatch.setattr(upload_folder, "KEEP_SECONDS", -1)
    upload_folder.sweep(own)
    assert kept.value is None


CLAIM = """
import os, signal, sys
from emotion_detective.page import upload_folder
signal.signal(signal.SIGTERM, signal.default_int_handler)
upload_folder.claim()
assert "gradio" not in sys.modules
(upload_folder.path() / "left.png").touch()
print(os.environ["GRADIO_TEMP_DIR"], flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_process_has_a_folder_of_its_own_which_goes_when_it_is_told_to_end(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM],
        cwd=ROOT,
        env=os.environ | {upload_folder.VARIABLE: str(tmp_path / "base")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == tmp_path / "base"
        assert folder.name.startswith(upload_folder.PREFIX)
        assert folder.stat().st_mode & 0o777 == 0o700
        process.send_signal(signal.SIGTERM)
    assert list((tmp_path / "base").iterdir()) == []
