"""What stands between Gradio and visitors: a small page here is sent what no page sends."""

import errno
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import gradio as gr
import httpx
import pytest
from fastapi import FastAPI
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse
from starlette.routing import Route
from starlette.testclient import TestClient

from emotion_detective.page import gradio_seam, shell, uploads

BOUNDARY = "between-parts"
# Gradio keeps so many sessions; one more and it forgets the oldest, whoever waits there.
GRADIOS_SESSIONS = 2000
UPLOAD = "/gradio_api/upload"
KIND = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Iterator[Path]:
    """Where this module's uploads lie."""
    folder = tmp_path_factory.mktemp("uploads")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(uploads.VARIABLE, str(folder))
        yield folder


def small_page() -> gradio_seam.Page:
    """A page that names its uploads, and has components that some inputs do not fit."""

    def name(picture: gr.FileData) -> str:
        with gradio_seam.errors_as_messages():
            return uploads.uploaded_path(picture).name

    def slowly(seconds: float) -> float:
        time.sleep(seconds)
        return seconds

    with gradio_seam.Page() as page:
        number, picture, choice = gr.Number(), gr.Image(), gr.Radio(["one", "two"])
        number.change(lambda number: number, number, number, api_name="number")
        gr.on([picture.change, choice.change], lambda *_: 1, [picture, choice], api_name="fit")
        gr.api(name, api_name="name", concurrency_limit=4)
        gr.api(slowly, api_name="slowly", concurrency_limit=1)
    return page.queue(1, api_open=False)


@pytest.fixture(scope="module")
def client(folder) -> Iterator[httpx.Client]:
    """A client of the small page."""
    page = small_page()
    _, address, _ = page.launch(
        app_kwargs=page.guarded([]), prevent_thread_lock=True, quiet=True, show_error=True
    )
    with httpx.Client(base_url=address, timeout=60, trust_env=False) as client:
        yield client
    page.close(verbose=False)


def send(client: httpx.Client, name: str) -> dict:
    """Upload a file; return what a client says of it."""
    answer = client.post(UPLOAD, files={"files": (name, name.encode() * 100)})
    return {"path": answer.json()[0], "meta": {"_type": "gradio.FileData"}}


def answer(client: httpx.Client, endpoint: str, *data: object) -> str:
    """Call an endpoint; return its event stream."""
    asked = client.post(f"/gradio_api/call/{endpoint}", json={"data": data}).json()
    deadline = time.monotonic() + 60  # heartbeats come for ever
    lines = []
    with client.stream("GET", f"/gradio_api/call/{endpoint}/{asked['event_id']}") as said:
        for line in said.iter_lines():
            lines.append(line)
            assert time.monotonic() < deadline, lines
    return "\n".join(lines)


def test_an_uploads_address_on_this_server_is_its_path(client):
    upload = send(client, "b c.png")
    upload["path"] = str(client.base_url.join(f"/gradio_api/file={upload['path']}"))
    assert json.dumps(["b c.png"]) in answer(client, "name", upload)


@pytest.mark.parametrize(
    "path", ["HTTP://example.com/x.png", " ftp://x", "https://x/gradio_api/file=/etc/passwd"]
)
def test_no_address_is_fetched_wherever_it_stands_in_an_event(client, capfd, path):
    upload = {"path": path, "meta": {"_type": "gradio.FileData"}}
    assert uploads.UPLOAD_ONLY in answer(client, "name", upload)
    assert uploads.UPLOAD_ONLY in answer(client, "number", [{"deep": [upload]}])
    assert capfd.readouterr() == ("", "")


def test_inputs_that_do_not_fit_are_refused_without_quoting_them(client, capfd):
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
        ("HEAD", "file=http%3A%2F%2Fexample.com/x.png"),
        ("GET", "file/etc/passwd"),
        ("POST", "component_server"),
        ("POST", "process_recording"),
        ("GET", "deep_link?session_hash=x"),
        ("GET", "custom_component/x/client/y/line%0Aforged"),
        ("GET", "proxy=https://example.com"),
        ("GET", "no/such/route"),
    ],
)
def test_a_route_that_no_visitor_needs_is_refused(client, method, route):
    refused = client.request(method, f"/gradio_api/{route}")
    assert refused.status_code == 403
    assert refused.text == ("" if method == "HEAD" else uploads.UPLOAD_ONLY)


def test_names_that_no_client_has_are_refused(client):
    long = "x" * (gradio_seam.MAX_NAME_CHARACTERS + 1)
    fits = {"data": [1], "fn_index": 0, "session_hash": long[1:]}
    assert client.post("/gradio_api/queue/join", json=fits).status_code == 200
    for refused in (
        client.post("/gradio_api/queue/join", json=fits | {"session_hash": long}),
        client.get("/gradio_api/queue/data", params={"session_hash": long}),
        client.post(UPLOAD, params={"upload_id": long}, files={"files": b"x"}),
    ):
        assert (refused.status_code, refused.text) == (400, gradio_seam.NAME_TOO_LONG)


@pytest.mark.parametrize("body", [b"", b"{", b"[" * 100_000, b'{"data": ' + b"9" * 10_000 + b"}"])
def test_a_message_that_is_no_json_is_refused(client, body):
    refused = client.post("/gradio_api/call/name", content=body)
    assert (refused.status_code, refused.text) == (400, gradio_seam.NO_JSON)


def test_a_message_too_large_is_refused_before_it_is_read_and_one_just_small_enough_is_not(client):
    data = "A" * (gradio_seam.MAX_MESSAGE_BYTES - 100)
    assert "event: error" in answer(client, "name", {"path": data})
    pieces = [b"A" * 1_000_000] * 18
    for route in ("/gradio_api/call/name", "/gradio_api/cancel", "/config"):
        assert client.post(route, content=b"".join(pieces)).status_code == 413
    for route in ("/gradio_api/call/name", "/gradio_api/queue/join"):
        assert client.post(route, content=iter(pieces)).status_code == 413  # of unstated length


def files_in(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


def parts(*dispositions: str) -> bytes:
    between = f"\r\n--{BOUNDARY}"
    each = [
        f"\r\nContent-Disposition: form-data; {one}\r\n\r\ntext{between}" for one in dispositions
    ]
    return f"--{BOUNDARY}{''.join(each)}--\r\n".encode()


@pytest.mark.parametrize(
    ("body", "kind"),
    [
        (parts("name=files; filename=good", 'name="x"'), KIND),
        (parts("name=files; filename=good", 'name="x"; filename="y"'), KIND),
        (parts("name=files; filename=good", 'name="files"'), KIND),
        (parts("name=files; filename=good", ""), KIND),
        (b"not parts", KIND),
        (b"not parts", {"Content-Type": "multipart/form-data"}),
        (b"not parts", {}),
    ],
)
def test_an_upload_holds_files_only(client, folder, body, kind):
    before = files_in(folder)
    refused = client.post(UPLOAD, content=body, headers=kind)
    assert (refused.status_code, refused.text) == (400, gradio_seam.FILES_ONLY)
    assert files_in(folder) == before


def test_a_file_too_large_is_refused_and_leaves_nothing(client, folder, monkeypatch):
    monkeypatch.setattr(gradio_seam, "MAX_FILE_BYTES", 1_000_000)
    before = files_in(folder)
    files = [("files", ("small", b"x")), ("files", ("large", b"x" * 1_000_001))]
    refused = client.post(UPLOAD, files=files)
    assert (refused.status_code, refused.text) == (413, gradio_seam.TOO_LARGE)
    assert files_in(folder) == before


def test_a_full_disk_is_said_leaves_nothing_and_the_next_upload_works(client, folder, monkeypatch):
    def full(source, target) -> None:
        target.write(b"half")
        raise OSError(errno.ENOSPC, "No space left on device")

    before = files_in(folder)
    with monkeypatch.context() as patch:
        patch.setattr(gradio_seam, "copyfileobj", full)
        refused = client.post(UPLOAD, files=[("files", ("a", b"x")), ("files", ("b", b"x"))])
    assert (refused.status_code, refused.text) == (507, gradio_seam.NO_ROOM)
    assert files_in(folder) == before
    assert Path(send(client, "a.png")["path"]).read_bytes() == b"a.png" * 100


@pytest.mark.parametrize("name", ["..", "../../x.png", "/etc/x.png", "x" * 300, "a\\..\\b", "\x01"])
def test_whatever_its_name_a_file_lies_in_a_folder_of_its_own(client, folder, name):
    body = parts(f'name="files"; filename="{name}"')
    (path,) = client.post(UPLOAD, content=body, headers=KIND).json()
    assert Path(path).parent.parent == folder.resolve()
    assert Path(path).read_bytes() == b"text"


def test_an_upload_that_breaks_off_leaves_nothing(client, folder, capfd):
    before = files_in(folder)
    head = (
        "POST /gradio_api/upload HTTP/1.1\r\nHost: here\r\nContent-Length: 9999999\r\n"
        f"Content-Type: {KIND['Content-Type']}\r\n\r\n"
        f"--{BOUNDARY}\r\nContent-Disposition: form-data; name=files; filename=half\r\n\r\n"
    )
    with socket.create_connection((client.base_url.host, client.base_url.port)) as connection:
        connection.sendall(head.encode() + b"half" * 500_000)
    assert send(client, "next")
    assert {path.name for path in files_in(folder) - before} == {"next"}
    assert capfd.readouterr().err == ""


@pytest.mark.slow
def test_of_many_sessions_the_queue_outlives_the_oldest(client):
    url = "/gradio_api/call/"
    for _ in range(3):  # one at work, one next, one whose place is said when that begins
        client.post(f"{url}slowly", json={"data": [5]})
    for _ in range(GRADIOS_SESSIONS + 10):
        client.post(f"{url}number", json={"data": [1]})
    assert "data: [0.0]" in answer(client, "slowly", 0.0)


def test_a_page_that_is_mounted_without_its_gate_does_not_start(folder):
    app = gr.mount_gradio_app(FastAPI(), small_page(), "/faces")
    with pytest.raises(RuntimeError, match="open to more than its visitors need"), TestClient(app):
        pass


GRADIO = """<!doctype html><html><head>
<meta charset="utf-8" />
<meta property="og:title" content="Gradio" />
<meta
    property="og:image"
    content="https://elsewhere.example/gradio.jpg"
/>
<meta name="twitter:creator" content="@Gradio" />
<title>é</title></head><body></body></html>"""


@pytest.fixture(scope="module")
def visitor() -> TestClient:
    """A client of a page like Gradio's, with the head's middleware before it."""
    routes = [
        Route("/", lambda request: HTMLResponse(GRADIO)),
        Route("/config", lambda request: JSONResponse({"head": "<head>"})),
    ]
    head = Middleware(gradio_seam.Head, preview=shell.PREVIEW)
    return TestClient(Starlette(routes=routes, middleware=[head]))


def test_head_names_this_page_and_no_other(visitor):
    page = visitor.get("/").text
    assert "Gradio" not in page and "elsewhere" not in page
    assert '<meta property="og:title" content="Emotion Detective" />' in page
    assert '<meta property="og:image" content="http://testserver/preview.png" />' in page
    assert "<title>é</title>" in page
    assert page.index("charset") < page.index("og:title")
    assert visitor.get("/config").json() == {"head": "<head>"}  # as it is


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("a.example, 10.0.0.1", "https://a.example"),
        ('a.example"><script>', "https://a.example&quot;&gt;&lt;script&gt;"),
    ],
)
def test_the_preview_has_the_address_that_the_first_proxy_was_asked_for(visitor, host, address):
    asked = {"x-forwarded-proto": "https, http", "x-forwarded-host": host}
    page = visitor.get("/", headers=asked).text
    assert re.findall('og:(?:url|image)" content="([^"]*)"', page) == [
        address,
        f"{address}/preview.png",
    ]
