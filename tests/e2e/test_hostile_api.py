"""Strangers at the door of the running server: odd files, paths out of their folder, scripts.

`tests/files/test_hostile.py` has all of the odd files, in one process; here a sample of them goes
over HTTP, and what only a server can do wrong is tried: to hand out files, to render what was sent,
to write down who sent it.
"""

import http.client
import json
import re
import sys
import time
import urllib.parse
from pathlib import Path

import pytest
from running import TIMEOUT_MS
from test_api import EXAMPLES, call

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
import odd_films
from corpus import GROUPS, NAMES, OddFile

from emotion_detective.page.gate import MAX_MESSAGE_BYTES
from emotion_detective.page.uploads import UPLOAD_ONLY

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


@pytest.mark.slow
def test_odd_films_and_zips_get_an_answer_or_a_sentence(server, unharmed, tmp_path):
    films = [odd for odd in odd_films.films(tmp_path) if odd.content and odd.name != "8k.mp4"]
    found = [problem(odd, *ask(server, "analyze_video", upload(server, odd), 4)) for odd in films]
    zips = [upload(server, odd) for odd in odd_films.zips()]
    batches = [ask(server, "analyze_batch", path) for path in zips]
    found += [None if answered else events for answered, events in batches]
    assert [one for one in found if one] == []


@pytest.mark.parametrize("name", ["page.html", "drawing.svg", "page.xhtml", "page.png.html"])
def test_an_upload_is_never_shown_as_a_page(server, name):
    script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>alert(1)</script></svg>"
    path = upload(server, OddFile(name, script, False))
    response, _ = request(server, "GET", f"/gradio_api/file={urllib.parse.quote(path)}")
    assert response.getheader("content-disposition", "").startswith("attachment")


# Where a message is read as it comes, of whatever length it says it is, or never says.
READING = ("/gradio_api/call/predict", "/gradio_api/queue/join", "/gradio_api/run/predict")


def test_a_message_too_large_is_refused_before_its_end(server, unharmed):
    pieces = [b'{"data": ["', *[b"A" * 1_000_000] * (MAX_MESSAGE_BYTES // 1_000_000), b'"]}']
    for route in (*READING, "/config", "/nowhere"):
        status, said = send_until_refused(server, route, pieces, stated=True)
        assert (status, said) == (413, b"Content Too Large"), route
    for route in READING:
        status, said = send_until_refused(server, route, pieces, stated=False)
        assert status == 413 and b"Content Too Large" in said, route


def send_until_refused(server: str, route: str, pieces: list[bytes], stated: bool):
    """Send a body piece by piece; return the status and body of the answer."""
    connection = http.client.HTTPConnection(server.removeprefix("http://"), timeout=120)
    connection.putrequest("POST", route)
    connection.putheader("Content-Type", "application/json")
    if stated:
        connection.putheader("Content-Length", str(sum(map(len, pieces))))
        pieces = []  # refused for what it says alone
    else:
        connection.putheader("Transfer-Encoding", "chunked")
    connection.endheaders()
    try:
        for piece in pieces:
            connection.send(b"%x\r\n%b\r\n" % (len(piece), piece))
        connection.send(b"" if stated else b"0\r\n\r\n")
    except OSError:  # refused before the end: the answer is there to be read
        pass
    try:
        response = connection.getresponse()
        return response.status, response.read()
    finally:
        connection.close()


def test_a_message_just_small_enough_is_read(server):
    data = "A" * (MAX_MESSAGE_BYTES - 100)
    body = json.dumps({"data": [{"path": data}, False]}).encode()
    response, answer = request(
        server, "POST", "/gradio_api/call/predict", body, kind="application/json"
    )
    assert response.status == 200
    assert "event_id" in json.loads(answer)


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


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/gradio_api/file=https://example.com/x.png"),
        ("HEAD", "/gradio_api/file=HTTP://example.com/x.png"),
        ("GET", "/gradio_api/file=http%3A%2F%2Fexample.com%2Fx.png"),
        ("GET", "/gradio_api/file/https://example.com/x.png"),
        ("POST", "/gradio_api/process_recording"),
        ("POST", "/gradio_api/component_server"),
        ("GET", "/gradio_api/custom_component/x/client/y/line%0Aforged"),
        ("GET", "/gradio_api/deep_link?session_hash=x"),
    ],
)
def test_what_only_gradio_offers_is_refused(server, method, path):
    response, body = request(server, method, path)
    assert response.status == 403
    assert body == (b"" if method == "HEAD" else UPLOAD_ONLY.encode())


def test_what_does_not_fit_is_answered_with_a_sentence_and_not_logged(server, server_folder):
    log = server_folder / "server.log"
    before = log.read_text()
    picture = "data:image/jpeg;base64,c2VjcmV0"
    elsewhere = {"path": "/home/anna/anna.jpg", "meta": {"_type": "gradio.FileData"}}
    for data in ([picture], [picture, False], [elsewhere, False], [{"path": 7}, False], []):
        events = call(server, "predict", data)
        assert "event: error" in events
        said = error_of(events)
        assert said.endswith(".") and "anna" not in said and "secret" not in said
    written = log.read_text()[len(before) :]
    assert not re.search("anna|secret|Traceback", written)


@pytest.mark.parametrize("name", ['name="x"', 'name="x"; filename="y.png"'])
def test_an_upload_holds_files_only(server, name):
    body = f"--{BOUNDARY}\r\nContent-Disposition: form-data; {name}\r\n\r\ntext"
    body += f"\r\n--{BOUNDARY}--\r\n"
    kind = f"multipart/form-data; boundary={BOUNDARY}"
    response, _ = request(server, "POST", "/gradio_api/upload", body.encode(), kind)
    assert response.status == 413


def test_an_upload_that_breaks_off_leaves_nothing(server, server_folder):
    def files() -> set[Path]:
        return {path for path in (server_folder / "uploads").rglob("*") if path.is_file()}

    def wait_for(more: int) -> None:
        deadline = time.monotonic() + TIMEOUT_MS / 1000
        while len(files() - before) != more:
            assert time.monotonic() < deadline
            time.sleep(0.05)

    before = files()
    connection = http.client.HTTPConnection(server.removeprefix("http://"))
    connection.putrequest("POST", "/gradio_api/upload")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Content-Length", "100000")
    connection.endheaders()
    disposition = 'Content-Disposition: form-data; name="files"; filename="half.jpg"'
    connection.send(f"--{BOUNDARY}\r\n{disposition}\r\n\r\n".encode() + b"half" * 100)
    wait_for(more=1)
    connection.close()
    wait_for(more=0)


def test_an_example_is_chosen_by_number_and_no_other_file_is_read(server):
    config = json.loads(request(server, "GET", "/config")[1])
    (event,) = [
        one
        for one in config["dependencies"]
        if [name for _, name in one["targets"]] == ["example"] and one["backend_fn"]
    ]
    assert '"success":true' in by_number(server, event["id"], [], {"index": 0})
    for index in ("/etc/passwd", ["/etc/passwd"], {"path": "/etc/passwd"}, 99, -99, 1.5):
        asked = {"index": index}
        assert '"success":false' in by_number(server, event["id"], [], asked), index
    for odd in (None, 5, "index", ["index"], {}):
        assert '"success":false' in by_number(server, event["id"], [], odd), odd


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
