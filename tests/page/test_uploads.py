"""Files of visitors: only uploads are read, what is old is deleted, and nothing is left behind."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from small import ROOT, in_a_thread

from emotion_detective.page import uploads


@pytest.fixture
def own(tmp_path, monkeypatch) -> Path:
    """The folder of this process, beside which others lie."""
    own = tmp_path / f"{uploads.PREFIX}own"
    own.mkdir()
    monkeypatch.setenv(uploads.VARIABLE, str(own))
    return own


@pytest.fixture
def everything_is_old(monkeypatch):
    """Each file counts as not used for long."""
    monkeypatch.setattr(uploads, "KEEP_SECONDS", -1)


def make(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch()
    return path


def test_an_upload_is_found_by_its_path_and_by_its_address_on_this_server(own):
    path = make(own / "hash" / "ä b.png")
    address = f"https://here.example/gradio_api/file={quote(str(path))}"
    assert uploads.uploaded_path({"path": str(path)}) == path
    assert uploads.uploaded_path({"path": address}) == path
    sent = [address, {"path": str(path), "orig_name": "<b>.png"}]
    assert uploads.uploaded_files(sent) == [("ä b.png", path), ("<b>.png", path)]


def test_no_way_leads_out_of_the_uploads(own):
    (own / "link").symlink_to("/etc/passwd")
    address = "http://127.0.0.1:7860/gradio_api/file=/etc/passwd"
    endless = "a/" * 1_000_000  # refused at once: to resolve it takes hours
    for path in ("/etc/passwd", "app.py", "", endless, address, own / ".." / "x", own / "link"):
        with pytest.raises(ValueError, match="Send the file itself"):
            uploads.uploaded_path({"path": str(path)})
    with pytest.raises(ValueError, match="it is deleted after 30 minutes"):
        uploads.uploaded_path(str(own / "gone.png"))


def test_a_kept_file_lies_among_the_uploads_where_nobody_guesses(own):
    path = Path(uploads.keep("a,b\n", "x.csv"))
    assert path.read_text("utf-8-sig") == "a,b\n"
    assert path.is_relative_to(own)
    assert uploads.keep("", "x.csv") != str(path)


def test_a_file_is_deleted_and_its_folder_some_time_after_its_last_use(own, monkeypatch):
    monkeypatch.setattr(uploads, "KEEP_SECONDS", 0.3)
    used, old = make(own / "a" / "used.png"), make(own / "b" / "old.png")
    time.sleep(0.4)
    uploads.uploaded_path(str(used))
    uploads.sweep(own)
    assert used.exists() and not old.exists()
    monkeypatch.setattr(uploads, "KEEP_SECONDS", -1)
    uploads.sweep(own)
    assert own.exists() and not list(own.iterdir())


def test_all_is_deleted_when_the_server_ends(own):
    async def serve() -> Path:
        async with uploads.emptied_at_end(None):
            return make(own / "other" / "young.png")

    assert not in_a_thread(asyncio.run, serve()).parent.exists()


def test_a_killed_process_leaves_nothing_for_long_and_nothing_else_is_touched(own, monkeypatch):
    left = make(own.parent / f"{uploads.PREFIX}other" / "hash" / "left.png")
    others = make(own.parent / "emotion-detective" / "app.py")
    before = own.stat().st_ctime
    uploads.sweep(own)
    assert left.exists(), "its process may be alive"
    assert own.stat().st_ctime > before, "a living process is seen by its sweeps"
    monkeypatch.setattr(uploads, "SWEEP_SECONDS", -1)
    uploads.sweep(own)
    assert not left.exists()
    assert others.exists() and own.exists()


def test_a_value_is_forgotten_some_time_after_its_last_use(own, monkeypatch):
    kept = uploads.Kept("faces")
    uploads.sweep(own)
    assert kept.value == "faces"
    monkeypatch.setattr(uploads, "KEEP_SECONDS", -1)
    uploads.sweep(own)
    assert kept.value is None


CLAIM = """
import os, signal, sys
from emotion_detective.page import uploads
signal.signal(signal.SIGTERM, signal.default_int_handler)
uploads.claim()
assert "gradio" not in sys.modules
(uploads.folder() / "left.png").touch()
print(os.environ["GRADIO_TEMP_DIR"], flush=True)
sys.stdin.read()
"""


@pytest.mark.slow
def test_a_process_has_a_folder_of_its_own_which_is_deleted_when_it_is_asked_to_end(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-c", CLAIM],
        cwd=ROOT,
        env=os.environ | {uploads.VARIABLE: str(tmp_path / "base")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        folder = Path(process.stdout.readline().strip())
        assert folder.parent == tmp_path / "base"
        assert folder.name.startswith(uploads.PREFIX)
        assert folder.stat().st_mode & 0o777 == 0o700
        process.send_signal(signal.SIGTERM)
    assert list((tmp_path / "base").iterdir()) == []
