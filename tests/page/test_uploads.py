"""Files of visitors: only uploads are read, results can be fetched."""

import time
from pathlib import Path
from urllib.parse import quote

import pytest
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


def test_names_are_what_visitors_call_their_files(upload_folder):
    (upload_folder / "a.png").write_bytes(b"")
    sent = [
        {"path": str(upload_folder / "a.png"), "orig_name": "Ä <b>.png"},
        {"path": str(upload_folder / "a.png")},
    ]
    assert [name for name, _ in uploads.uploaded_files(sent)] == ["Ä <b>.png", "a.png"]


def test_a_kept_file_lies_where_gradio_deletes(upload_folder):
    path = Path(uploads.keep("a,b\n", "x.csv"))
    assert path.read_text() == "a,b\n"
    assert path.is_relative_to(upload_folder)
    assert uploads.keep("", "x.csv") != str(path)
