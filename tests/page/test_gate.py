"""The gate and `Page` by their effects: a small page that runs here is sent what no page sends."""

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from emotion_detective.page import file_parts, gate, upload_folder, uploads
from emotion_detective.page.blocks import Page

BOUNDARY = "between-parts"
# Gradio keeps so many sessions; one more and it forgets the oldest, whoever waits there.
GRADIOS_SESSIONS = 2000


@pytest.fixture(scope="module")
def release() -> threading.Event:
    """What every call of `slowly` waits for."""
    return threading.Event()


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where this module's uploads lie."""
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(upload_folder.VARIABLE, str(folder))
        yield folder


def small_page(release: threading.Event) -> Page:
    """A page with a function that answers at once, and one that waits for `release`."""

    def name(picture: gr.FileData) -> str:
        with uploads.errors_as_messages():
            return uploads.uploaded_path(picture).name

    def slowly(picture: gr.FileData) -> str:
        assert release.wait(60)
        return name(picture)

    with Page() as page:
        number, picture, choice = gr.Number(), gr.Image(), gr.Radio(["one", "two"])
        number.change(lambda number: number, number, number, api_name="number")
        gr.on([picture.change, choice.change], lambda *_: 1, [picture, choice], api_name="fit")
        gr.api(name, api_name="name", concurrency_limit=4)
        gr.api(slowly, api_name="slowly", concurrency_limit=1)
    return page.queue(1, api_open=False)


@pytest.fixture(scope="module")
def client(folder, release) -> Iterator[httpx.Client]:
    """A client of the small page."""
    page = small_page(release)
    _, address, _ = page.launch(
        app_kwargs=page.behind_gate(), prevent_thread_lock=True, quiet=True, show_error=True
    )
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        yield client
    release.set()
    page.close(verbose=False)


def send(client: httpx.Client, name: str) -> dict:
    """Upload a file; return what a client says of it."""
    answer = client.post("/gradio_api/upload", files={"files": (name, name.encode() * 100)})
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


def ask(client: httpx.Client, endpoint: str, *data: object) -> str:
    """Call an endpoint; return the event's id."""
    answer = client.post(f"/gradio_api/call/{endpoint}", json={"data": data})
    return answer.json()["event_id"]


def answer(client: httpx.Client, endpoint: str, *data: object) -> str:
    """Call an endpoint; return its event stream."""
    deadline = time.monotonic() + 60  # heartbeats come for ever
    lines = []
    with client.stream(
        "GET", f"/gradio_api/call/{endpoint}/{ask(client, endpoint, *data)}"
    ) as said:
        for line in said.iter_lines():
            lines.append(line)
            assert time.monotonic() < deadline, lines
    return "\n".join(lines)


def test_an_upload_is_answered(client):
    assert json.dumps(["a.png"]) in answer(client, "name", send(client, "a.png"))


def test_an_uploads_address_on_this_server_is_its_path(client):
    upload = send(client, "b c.png")
    upload["path"] = str(client.base_url.join(f"/gradio_api/file={upload['path']}"))
    assert json.dumps(["b c.png"]) in answer(client, "name", upload)


@pytest.mark.parametrize(
    "path",
    [
        "https://example.com/x.png",
        "HTTP://example.com/x.png",
        " http://example.com/x.png",
        "ftp://example.com/x.png",
        "https://example.com/gradio_api/file=/etc/passwd",
        "/etc/passwd",
    ],
)
def test_no_address_is_fetched_and_no_other_file_is_read(client, capfd, path):
    upload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert uploads.UPLOAD_ONLY in answer(client, "name", upload)
    assert uploads.UPLOAD_ONLY in answer(client, "number", [{"deep": [upload]}])
    assert capfd.readouterr() == ("", "")


def test_what_does_not_fit_is_told_without_quoting_it(client, capfd):
    for odd in ("secret", ["secret"], {"path": 7, "secret": 1}):
        said = answer(client, "fit", odd, "one")
        assert "These inputs do not fit" in said
        assert "secret" not in said
    assert "event: error" in answer(client, "fit", None, "secret")
    assert "event: error" in answer(client, "fit", None)
    assert "secret" not in "".join(capfd.readouterr())


@pytest.mark.parametrize(
    ("method", "route"),
    [
        ("GET", "file=https://example.com/x.png"),
        ("GET", "file=http%3A%2F%2Fexample.com/x.png"),
        ("GET", "file/etc/passwd"),
        ("POST", "component_server"),
        ("POST", "process_recording"),
        ("GET", "deep_link?session_hash=x"),
        ("GET", "proxy=https://example.com"),
        ("GET", "no/such/route"),
    ],
)
def test_what_no_visitor_needs_is_refused(client, method, route):
    refused = client.request(method, f"/gradio_api/{route}")
    assert (refused.status_code, refused.text) == (403, uploads.UPLOAD_ONLY)


def test_names_that_no_client_has_are_refused(client):
    long = "x" * (gate.MAX_NAME_LETTERS + 1)
    fits = {"data": [1], "fn_index": 0, "session_hash": long[1:]}
    assert client.post("/gradio_api/queue/join", json=fits).status_code == 200
    for refused in (
        client.post("/gradio_api/queue/join", json=fits | {"session_hash": long}),
        client.post("/gradio_api/call/number", json={"data": [1], "session_hash": long}),
        client.get("/gradio_api/queue/data", params={"session_hash": long}),
        client.post("/gradio_api/upload", params={"upload_id": long}, files={"files": b"x"}),
    ):
        assert (refused.status_code, refused.text) == (400, gate.NAME_TOO_LONG)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b'{"data": ' + b"9" * 10_000 + b"}"])
def test_what_is_no_json_is_refused(client, body):
    refused = client.post("/gradio_api/call/name", content=body)
    assert (refused.status_code, refused.text) == (400, gate.NO_JSON)


def test_a_message_too_large_is_refused(client):
    body = b'{"data": ["' + b"A" * gate.MAX_MESSAGE_BYTES + b'"]}'
    for route in ("/gradio_api/call/name", "/gradio_api/cancel", "/config"):
        assert client.post(route, content=body).status_code == 413


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("disposition", ['name="x"', 'name="x"; filename="y"', 'name="files"', ""])
def test_an_upload_holds_files_only(client, folder, disposition):
    before = files_in(folder)
    parts = (
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=files; filename=good\r\n\r\ngood"
        f"\r\n--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\ntext"
        f"\r\n--{BOUNDARY}--\r\n"
    )
    kind = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
    refused = client.post("/gradio_api/upload", content=parts.encode(), headers=kind)
    assert (refused.status_code, refused.text.startswith("An upload holds files only")) == (
        413,
        True,
    )
    assert files_in(folder) == before


def test_an_upload_that_is_none_is_refused(client):
    for kind in ("multipart/form-data", f"multipart/form-data; boundary={BOUNDARY}", "text/plain"):
        refused = client.post(
            "/gradio_api/upload", content=b"not parts", headers={"Content-Type": kind}
        )
        assert refused.status_code == 400


def test_a_file_too_large_is_refused_and_leaves_nothing(client, folder, monkeypatch):
    monkeypatch.setattr(file_parts, "MAX_FILE_BYTES", 1_000_000)
    before = files_in(folder)
    files = [("files", ("small", b"x")), ("files", ("large", b"x" * 1_000_001))]
    refused = client.post("/gradio_api/upload", files=files)
    assert (refused.status_code, refused.text) == (413, "A file may have 1 MB at most.")
    assert files_in(folder) == before


def wait_until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.mark.parametrize("half", [b"half" * 50_000, b"half\r\n", b"half\r\n--between-pa"])
def test_an_upload_that_breaks_off_leaves_nothing(client, folder, half):
    before = files_in(folder)
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nHost: here\r\nContent-Length: 999999\r\n"
        f"Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n\r\n"
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=files; filename=half\r\n\r\n"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(head.encode() + half)
        wait_until(lambda: len(files_in(folder) - before) == 1)
    wait_until(lambda: files_in(folder) == before)


def test_files_are_kept_for_as_long_as_their_sender_waits(client, folder, release, monkeypatch):
    waited_for, left = send(client, "waited for"), send(client, "left")
    events = [ask(client, "slowly", waited_for) for _ in range(2)]
    with (
        client.stream("GET", f"/gradio_api/call/slowly/{events[0]}") as first,
        client.stream("GET", f"/gradio_api/call/slowly/{events[1]}") as second,
    ):
        monkeypatch.setattr(upload_folder, "KEEP_SECONDS", -1)  # everything is old
        upload_folder.sweep(folder)
        assert Path(waited_for["path"]).exists()
        assert not Path(left["path"]).exists()
        release.set()
        for stream in (first, second):
            assert json.dumps(["waited for"]) in "".join(stream.iter_text())
    release.clear()
    wait_until(lambda: not upload_folder.sweep(folder) and not Path(waited_for["path"]).exists())


@pytest.mark.slow
def test_of_many_sessions_the_queue_outlives_the_oldest(client, release):
    upload = send(client, "a.png")
    for _ in range(3):  # one at work, one next, one that is told its place when that begins
        ask(client, "slowly", upload)
    for _ in range(GRADIOS_SESSIONS + 10):
        ask(client, "number", 1)
    release.set()
    assert json.dumps(["a.png"]) in answer(client, "slowly", upload)
    assert json.dumps(["a.png"]) in answer(client, "name", upload)
    release.clear()


def test_a_page_that_is_mounted_without_its_gate_does_not_start(folder, release):
    app = gr.mount_gradio_app(FastAPI(), small_page(release), "/faces")
    with pytest.raises(RuntimeError, match="open to more than its visitors need"), TestClient(app):
        pass


def test_a_page_that_is_mounted_keeps_its_gate(folder, release):
    page = small_page(release)
    parent = gr.mount_gradio_app(FastAPI(), page, "/faces", app_kwargs=page.behind_gate())
    with TestClient(parent, base_url="http://here/faces") as client:
        assert json.dumps(["a.png"]) in answer(client, "name", send(client, "a.png"))
        assert client.get("/gradio_api/file=https://example.com/x.png").status_code == 403
        assert client.post("/gradio_api/upload", data={"x": "text"}).status_code in (400, 413)
        assert uploads.UPLOAD_ONLY in answer(client, "name", {"path": "https://example.com/x"})
