"""Files of visitors: only upload_folder are read, old ones are deleted, results can be fetched."""

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

from emotion_detective.page import uploads


@pytest.fixture
def upload_folder(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "upload_folder"
    folder.mkdir()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(folder))
    return folder


def test_an_upload_is_found(upload_folder):
    (upload_folder / "a.png").write_bytes(b"")
    assert uploads.uploaded_path({"path": str(upload_folder / "a.png")}) == upload_folder / "a.png"


def test_an_upload_is_found_by_its_address_on_this_server(upload_folder):
    (upload_folder / "ä b.png").write_bytes(b"")
    address = f"https://here.example/gradio_api/file={quote(str(upload_folder / 'ä b.png'))}"
    assert uploads.uploaded_path({"path": address}) == upload_folder / "ä b.png"
    assert uploads.uploaded_files([address]) == [("ä b.png", upload_folder / "ä b.png")]
    with pytest.raises(ValueError, match="Send the file itself"):
        uploads.uploaded_path("http://127.0.0.1:7860/gradio_api/file=/etc/passwd")


@pytest.mark.parametrize(
    "path", ["/etc/passwd", "app.py", "../x", "", "https://example.com/x.png", 7]
)
def test_other_files_are_refused(upload_folder, path):
    with pytest.raises(ValueError, match="Send the file itself"):
        uploads.uploaded_path({"path": path})


def test_an_endless_path_is_refused_at_once(upload_folder):
    begin = time.perf_counter()
    with pytest.raises(ValueError, match="Send the file itself"):
        uploads.uploaded_path("a/" * 1_000_000)
    assert time.perf_counter() - begin < 5


def test_a_way_out_of_the_uploads_is_refused(upload_folder):
    (upload_folder / "link").symlink_to("/etc/passwd")
    for path in (upload_folder / ".." / "x.png", upload_folder / "link"):
        with pytest.raises(ValueError, match="Send the file itself"):
            uploads.uploaded_path({"path": str(path)})


@settings(deadline=None)
@given(
    st.recursive(
        st.none() | st.text() | st.integers(), lambda x: st.lists(x) | st.dictionaries(st.text(), x)
    )
)
def test_anything_else_is_refused_with_a_sentence(anything):
    with pytest.raises(ValueError, match="Send the file itself"):
        uploads.uploaded_path(anything)
    with pytest.raises(ValueError, match="Send the file itself"):
        uploads.uploaded_frame(anything)


def test_names_are_what_visitors_call_their_files(upload_folder):
    (upload_folder / "a.png").write_bytes(b"")
    sent = [
        {"path": str(upload_folder / "a.png"), "orig_name": "Ä <b>.png"},
        {"path": str(upload_folder / "a.png")},
    ]
    assert [name for name, _ in uploads.uploaded_files(sent)] == ["Ä <b>.png", "a.png"]


def test_a_frame_is_decoded():
    url = "data:image/jpeg;base64," + base64.b64encode(b"frame").decode()
    assert uploads.uploaded_frame({"url": url}) == b"frame"


def test_what_was_not_used_for_long_is_forgotten_but_what_all_see(upload_folder, monkeypatch):
    own, killed, living = (upload_folder / f"{uploads.PREFIX}{i}" for i in range(3))
    other = upload_folder / "emotion-detective"  # a copy of the repository, say
    names = ("young", "old", "example", "read", "waiting")
    young, old, example, read, waiting = (own / "hash" / name for name in names)
    lasting = [living / "example", other / "app.py", own / "on its way"]
    for path in (young, old, example, read, waiting, killed / "deep" / "left", *lasting):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(own))
    made = {path: path.lstat().st_ctime for path in upload_folder.rglob("*")}
    now = max(made.values()) + uploads.KILLED_SWEEPS * uploads.SWEEP_SECONDS + 1
    monkeypatch.setattr(uploads.time, "time", lambda: now)
    monkeypatch.setattr(Path, "lstat", lambda self: SimpleNamespace(st_ctime=age_of(self)))

    touched = []
    monkeypatch.setattr(uploads.os, "utime", lambda path: touched.append(Path(path)))

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
    with uploads.in_use([read]):
        uploads._forget(blocks, 60)
    assert not killed.exists()
    there = {path for path in upload_folder.rglob("*") if path.is_file()}
    assert there == {young, example, read, waiting, *lasting}
    assert touched == [own, waiting, read]
    touched.clear()
    assert names == {str(young)}
    assert list(holder.session_data) == list(holder.time_last_used) == ["waits", "here"]
    monkeypatch.setattr(uploads, "UPLOADING_SECONDS", 60)
    uploads._forget(blocks, 60)
    assert not read.exists()
    assert not (own / "on its way").exists()


def test_what_was_in_use_is_young_again(upload_folder):
    path = upload_folder / "a.png"
    path.touch()
    os.utime(path, (0, 0))
    with pytest.raises(KeyError), uploads.in_use([path, upload_folder / "gone.png"]):
        raise KeyError
    assert path.stat().st_mtime > 0
    assert uploads._in_use == []


def test_a_kept_file_lies_where_gradio_deletes(upload_folder):
    path = Path(uploads.keep("a,b\n", "x.csv"))
    assert path.read_text() == "a,b\n"
    assert path.is_relative_to(upload_folder)
    assert uploads.keep("", "x.csv") != str(path)
