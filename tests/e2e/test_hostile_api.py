"""Strangers at the door of the running server: odd files, paths out of their folder, scripts.

`tests/files/test_hostile.py` has all of the odd files, in one process; here a sample of them goes
over HTTP, and what only a server can do wrong is tried: to hand out files, to render what was sent,
to write down who sent it.
"""

import http.client
import json
import sys
import urllib.parse
from pathlib import Path

import pytest
from test_api import EXAMPLES, call

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from corpus import GROUPS, NAMES, OddFile

ROOT = Path(__file__).resolve().parents[2]
# One in so many odd pictures goes over HTTP.
SAMPLE = 12
BOUNDARY = "an-odd-file"


def request(server: str, method: str, path: str, body: bytes = b"", kind: str = "text/plain"):
    """Send a request just as it is written, dots and all; return the response and its body."""
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=120)
    try:
        connection.request(method, path, body or None, {"Content-Type": kind})
        response = connection.getresponse()
        return response, response.read()
    finally:
        connection.close()


def upload(server: str, odd: OddFile) -> str:
    """Upload a file under its name, as far as HTTP can carry it; return where it lies."""
    name = odd.name.encode("utf-8", "replace").decode().replace("\n", "%0A").replace("\r", "%0D")
    head = (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="files"; '
        f'filename="{name.replace(chr(34), "%22")}"\r\n\r\n'
    )
    body = head.encode() + odd.content + f"\r\n--{BOUNDARY}--\r\n".encode()
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    response, answer = request(server, "POST", "/gradio_api/upload", body, kind)
    assert response.status == 200, (odd.name, answer[:200])
    return json.loads(answer)[0]


def ask(server: str, endpoint: str, path: str, *more) -> tuple[bool, str]:
    """Return whether an endpoint answered, and what."""
    given = {"path": path, "meta": {"_type": "gradio.FileData"}}
    given = [given] if endpoint == "analyze_batch" else given
    events = call(server, endpoint, [given, *more])
    return "event: complete" in events, events


@pytest.fixture
def unharmed(server, server_folder):
    """Afterwards a good picture is answered as before, and the log has no traceback in it."""
    log = server_folder / "server.log"
    good = upload(server, OddFile("good.jpg", (EXAMPLES / "one_face.jpg").read_bytes(), True))
    answered, before = ask(server, "predict", good, False)
    assert answered
    tracebacks = log.read_text().count("Traceback")
    yield
    assert ask(server, "predict", good, False) == (True, before)
    assert log.read_text().count("Traceback") == tracebacks


def problem(odd: OddFile, answered: bool, events: str) -> str | None:
    """Return what is wrong with a server's answer to an odd file."""
    if odd.readable is not None and answered != odd.readable:
        return f"{odd.name!r}: {events[-300:]}"
    said = "." if answered else error_of(events)
    clear = said.endswith(".") and "\n" not in said and "Traceback" not in said
    return None if clear else f"{odd.name!r}: {said}"


def error_of(events: str) -> str:
    """Return what the last event says; heartbeats may stand before it."""
    return json.loads(events.rpartition("data: ")[2])["error"]


@pytest.mark.slow
def test_odd_pictures_get_an_answer_or_a_sentence(server, unharmed):
    pictures = [odd for group in GROUPS.values() for odd in group() if odd.name not in NAMES]
    found = []
    for odd in pictures[::SAMPLE]:
        if odd.content:  # a browser does not send what is empty
            answered, events = ask(server, "predict", upload(server, odd), False)
            found.append(problem(odd, answered, events))
    assert len(found) >= 25
    assert [one for one in found if one] == []


def test_odd_names_write_nothing_elsewhere_and_are_not_logged(server, server_folder, unharmed):
    uploads = (server_folder / "uploads").resolve()
    log = server_folder / "server.log"
    before = log.read_text()
    for odd in GROUPS["names"]():
        path = Path(upload(server, odd)).resolve()
        assert path.is_relative_to(uploads), odd.name
        assert path.read_bytes() == odd.content
        answered, events = ask(server, "predict", str(path), False)
        assert answered, events
    assert log.read_text() == before
    assert {path.name for path in server_folder.iterdir()} <= {"uploads", "server.log"}


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "page.xhtml", "page.png.html"])
def test_an_upload_is_never_shown_as_a_page(server, name):
    script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    path = upload(server, OddFile(name, script, False))
    response, _ = request(server, "GET", f"/gradio_api/file={urllib.parse.quote(path)}")
    assert response.getheader("content-disposition", "").startswith("attachment")


ROUTES = (
    "/gradio_api/file=",
    "/gradio_api/file/",
    "/file=",
    "/gradio_api/stream/",
    "/gradio_api/proxy=",
    "/static/",
    "/assets/",
    "/svelte/",
    "/custom_component/x/component/",
    "/gradio_api/custom_component/x/component/",
    "/",
)
SECRETS = {
    "/etc/passwd": b"root:",
    "/proc/self/environ": b"EMOTION_MODEL=",
    str(ROOT / "app.py"): b"gr.Blocks",
}


@pytest.mark.parametrize("route", ROUTES)
def test_no_file_of_the_machine_is_served(server, server_folder, route):
    up = "../" * 12
    uploads = server_folder / "uploads"
    ways = {
        f"{start}{path}": secret
        for path, secret in SECRETS.items()
        for start in ("", "file://", "//", up, f"{uploads}/{up}")
    }
    ways[f"{uploads}/../server.log"] = b"Running on"
    ways[f"{ROOT}/examples/../app.py"] = b"gr.Blocks"
    ways["app.py"] = b"gr.Blocks"
    for way, secret in ways.items():
        for written in (way, urllib.parse.quote(way, safe=""), way.replace("..", "%2e%2e")):
            response, body = request(server, "GET", f"{route}{written}")
            assert secret not in body, (route, written, response.status)


def test_an_example_is_chosen_by_number_and_no_other_file_is_read(server):
    config = json.loads(request(server, "GET", "/config")[1])
    photo, *others = [
        event["id"]
        for event in config["dependencies"]
        if [name for _, name in event["targets"]] == ["opened"]
    ]
    assert '"success":true' in by_number(server, photo, [], {"example": 0})
    outside = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    for odd in (
        *({"example": one} for one in ("/etc/passwd", [0], outside, 99, -99, 1.5)),
        *({"files": one} for one in ([outside], outside, ["/etc/passwd"], "/etc/passwd", None, [])),
        *(None, 5, "example", ["example"], {}),
    ):
        for event in (photo, *others):
            events = by_number(server, event, [], odd)
            assert "root:" not in events
            assert "1 face" not in events, (event, odd)


def by_number(server: str, number: int, data: list, event_data: object = None) -> str:
    """Run one of the page's own events, which have no name, and return its event stream."""
    session = f"visitor-{number}"
    message = {"data": data, "fn_index": number, "session_hash": session}
    body = json.dumps(message | {"event_data": event_data}).encode()
    response, answer = request(
        server, "POST", "/gradio_api/queue/join", body, kind="application/json"
    )
    if response.status != 200:
        return answer.decode()
    _, events = request(server, "GET", f"/gradio_api/queue/data?session_hash={session}")
    return events.decode()


@pytest.mark.slow
def test_the_pages_own_events_survive_what_no_page_sends(server):
    config = json.loads(request(server, "GET", "/config")[1])
    good = upload(server, OddFile("good.jpg", (EXAMPLES / "one_face.jpg").read_bytes(), True))
    before = ask(server, "predict", good, False)
    outside = {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}
    tried = 0
    for event in config["dependencies"]:
        if not event["backend_fn"] or not event["inputs"]:
            continue
        for odd in ("<script>", outside, {"url": "data:image/png;base64,%"}, [outside], -1, 1e308):
            events = by_number(server, event["id"], [odd] * len(event["inputs"]))
            assert "root:" not in events
            tried += 1
    assert tried >= 40
    assert ask(server, "predict", good, False) == before
