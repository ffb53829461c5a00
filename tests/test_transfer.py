"""Files of visitors: only uploads are read, old ones are deleted, results can be fetched."""

import base64
import os
import time
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import quote

import pytest
from gradio.state_holder import StateHolder
from hypothesis import given, settings
from hypothesis import strategies as st

from emotion_detective import transfer


@pytest.fixture
def uploads(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "uploads"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_an_upload_is_found(uploads):
    (uploads / "a.png").write_bytes(b"")
    assert transfer.uploaded_path({"path": str(uploads / "a.png")}) == uploads / "a.png"


def test_an_upload_is_found_by_its_address_on_this_server(uploads):
    (uploads / "ä b.png").write_bytes(b"")
    address = f"https://here.example/gradio_api/file={quote(str(uploads / 'ä b.png'))}"
    assert transfer.uploaded_path({"path": address}) == uploads / "ä b.png"
    assert transfer.uploaded_files([address]) == [("ä b.png", uploads / "ä b.png")]
    with pytest.raises(ValueError, match="Send the file itself"):
        transfer.uploaded_path("http://127.0.0.1:7860/gradio_api/file=/etc/passwd")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "app.py", "../x", "", "https://example.com/x.png", 7]
)
def test_other_files_are_refused(uploads, path):
    with pytest.raises(ValueError, match="Send the file itself"):
        transfer.uploaded_path({"path": path})


def test_an_endless_path_is_refused_at_once(uploads):
    begin = time.perf_counter()
    with pytest.raises(ValueError, match="Send the file itself"):
        transfer.uploaded_path("a/" * 1_000_000)
    assert time.perf_counter() - begin < 5


def test_a_way_out_of_the_uploads_is_refused(uploads):
    (uploads / "link").symlink_to("/etc/passwd")
    for path in (uploads / ".." / "x.png", uploads / "link"):
        with pytest.raises(ValueError, match="Send the file itself"):
            transfer.uploaded_path({"path": str(path)})


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_anything_else_is_refused_with_a_sentence(anything):
    with pytest.raises(ValueError, match="Send the file itself"):
        transfer.uploaded_path(anything)
    with pytest.raises(ValueError, match="Send the file itself"):
        transfer.uploaded_frame(anything)


def test_names_are_what_visitors_call_their_files(uploads):
    (uploads / "a.png").write_bytes(b"")
    sent = [
        {"path": str(uploads / "a.png"), "orig_name": "Ä <b>.png"},
        {"path": str(uploads / "a.png")},
    ]
    assert [name for name, _ in transfer.uploaded_files(sent)] == ["Ä <b>.png", "a.png"]


def test_a_frame_is_decoded():
    url = "data:image/jpeg;base64," + base64.b64encode(b"frame").decode()
    assert transfer.uploaded_frame({"url": url}) == b"frame"


def test_what_was_not_used_for_long_is_forgotten_but_what_all_see(uploads, monkeypatch):
    own, killed, living = (uploads / f"{transfer.PREFIX}{i}" for i in range(3))
    other = uploads / "emotion-detective"  # a copy of the repository, say
    names = ("young", "old", "example", "read", "waiting")
    young, old, example, read, waiting = (own / "hash" / name for name in names)
    lasting = [living / "example", other / "app.py", own / "on its way"]
    for path in (young, old, example, read, waiting, killed / "deep" / "left", *lasting):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(own))
    made = {path: path.lstat().st_ctime for path in uploads.rglob("*")}
    now = max(made.values()) + transfer.KILLED_SWEEPS * transfer.SWEEP_SECONDS + 1
    monkeypatch.setattr(transfer.time, "time", lambda: now)
    monkeypatch.setattr(Path, "lstat", lambda self: SimpleNamespace(st_ctime=age_of(self)))

    touched = []
    monkeypatch.setattr(transfer.os, "utime", lambda path: touched.append(Path(path)))

    def age_of(path: Path) -> float:
        return now - 5 if path in (young, living, *touched) else made.get(path, now)

    holder = StateHolder()
    holder.session_data.update(gone=object(), waits=object(), here=object())
    here = datetime.now()
    long_ago = here - timedelta(seconds=61)
    holder.time_last_used.update(gone=long_ago, waits=long_ago, here=here)
    sent = SimpleNamespace(data=[[{"path": str(waiting)}, {"path": "/etc/passwd"}], 4, None])
    names = {str(old), str(young)}
    blocks = SimpleNamespace(
        blocks={1: SimpleNamespace(keep_in_cache={str(example)}), 2: object()},
        temp_file_sets=[names],
        state_holder=holder,
        _queue=SimpleNamespace(
            active_jobs=[None, [SimpleNamespace(session_hash="new", data=None)]],
            event_queue_per_concurrency_id={
                "video": SimpleNamespace(queue=[SimpleNamespace(session_hash="waits", data=sent)])
            },
        ),
    )
    with transfer.in_use([read]):
        transfer._forget(blocks, 60)
    assert not killed.exists()
    there = {path for path in uploads.rglob("*") if path.is_file()}
    assert there == {young, example, read, waiting, *lasting}
    assert touched == [own, waiting, read]
    touched.clear()
    assert names == {str(young)}
    assert list(holder.session_data) == list(holder.time_last_used) == ["waits", "here"]
    monkeypatch.setattr(transfer, "UPLOADING_SECONDS", 60)
    transfer._forget(blocks, 60)
    assert not read.exists()
    assert not (own / "on its way").exists()


def test_what_was_in_use_is_young_again(uploads):
    path = uploads / "a.png"
    path.touch()
    os.utime(path, (0, 0))
    with pytest.raises(KeyError), transfer.in_use([path, uploads / "gone.png"]):
        raise KeyError
    assert path.stat().st_mtime > 0
    assert transfer._in_use == []


def test_a_kept_file_lies_where_gradio_deletes(uploads):
    path = Path(transfer.keep("a,b\n", "x.csv"))
    assert path.read_text() == "a,b\n"
    assert path.is_relative_to(uploads)
    assert transfer.keep("", "x.csv") != str(path)
