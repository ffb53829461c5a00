"""Nothing leaves: no name is looked up, no address but loopback is met, no file is left at home.

strace sees what native libraries do, too. The environment is bare, because ONNX Runtime sends
nothing where `CI` is set, and asks every dependency to send what it can.
"""

import importlib
import ipaddress
import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
import serving
from gradio_client import handle_file
from running import connected
from small import EMBEDDED, ROOT, SMALL_OPTIONS

import emotion_detective

EXAMPLES = ROOT / "examples"
LOUD = {
    "ORT_DISABLE_TELEMETRY": "0",
    "HF_HUB_DISABLE_TELEMETRY": "0",
    "HF_XET_TELEMETRY_ENABLED": "1",
    "HF_UPDATE_DOWNLOAD_COUNTS": "1",
    "GRADIO_ANALYTICS_ENABLED": "True",
    "KAGGLE_KERNEL_RUN_TYPE": "Interactive",  # where Gradio would open a tunnel
}
# `-D`: the process is the program itself, which can be killed and waited for.
STRACE = ("strace", "-D", "-f", "-s", "80", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o")
DNS_PORT = 53
ADDRESS = re.compile(r'_port=htons\((\d+)\),.*?inet_(?:addr\(|pton\(AF_INET6, )"([^"]+)"')
RESOLVER = "io.systemd.Resolve"  # systemd's, asked through a socket file
# Telemetry is sent by a thread of its own, some time after what it reports.
LATER_S = 5


@pytest.fixture
def strace():
    """Skip where no process can be traced."""
    if not shutil.which("strace"):
        pytest.skip("strace is not installed")
    trial = subprocess.run([*STRACE, os.devnull, "true"], capture_output=True, text=True)
    if trial.returncode:
        pytest.skip(f"strace may not trace here: {trial.stderr.strip()}")


def environment(folder: Path) -> dict[str, str]:
    """Return a bare environment with an empty home and uploads in `folder`."""
    (folder / "home").mkdir()
    places = {"HOME": str(folder / "home"), "GRADIO_TEMP_DIR": str(folder / "uploads")}
    return {"PATH": os.environ["PATH"], "OMP_NUM_THREADS": "1", **places, **LOUD}


def traced(arguments: list[str], folder: Path) -> None:
    """Run Python in the checkout, traced to `folder`, until it ends."""
    command = [*STRACE, str(folder / "trace"), sys.executable, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=environment(folder), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def leaks(folder: Path) -> list[str]:
    """Return the traced calls that look up a name or meet another machine."""
    return [line for line in (folder / "trace").read_text().splitlines() if _leaves(line)]


def _leaves(line: str) -> bool:
    met = [(int(port), ipaddress.ip_address(name)) for port, name in ADDRESS.findall(line)]
    return RESOLVER in line or any(
        port == DNS_PORT or not address.is_loopback for port, address in met
    )


def left_at_home(folder: Path) -> list[Path]:
    return [path for path in (folder / "home").rglob("*") if path.is_file()]


@pytest.mark.slow
@pytest.mark.usefixtures("strace")
@pytest.mark.parametrize(
    "call",
    [
        "socket.getaddrinfo('nothing.example.org', 80)",
        "socket.create_connection(('192.0.2.1', 80), 0.1)",
        "socket.create_connection(('2001:db8::1', 80), 0.1)",
        "socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('192.0.2.1', 80))",
    ],
)
def test_a_process_that_looks_up_or_connects_is_found_out(call, tmp_path):
    traced(
        ["-c", f"import contextlib, socket\nwith contextlib.suppress(OSError): {call}"], tmp_path
    )
    assert leaks(tmp_path)


@pytest.mark.slow
@pytest.mark.usefixtures("strace")
def test_the_library_keeps_to_itself(tmp_path):
    code = f"""
import time
from emotion_detective import EmotionDetective
faces = EmotionDetective.from_pretrained({str(EMBEDDED)!r}).analyze("examples/one_face.jpg")
assert len(faces) == 1
time.sleep({LATER_S})"""
    traced(["-c", code], tmp_path)
    assert leaks(tmp_path) == []
    assert left_at_home(tmp_path) == []


@pytest.mark.slow
@pytest.mark.usefixtures("strace")
def test_the_command_line_keeps_to_itself(source, tmp_path):
    """Its home holds the caches of datasets and Matplotlib, nothing else."""
    data, output = ["--data", str(source)], str(tmp_path / "run")
    train = ["train", *data, "--output", output, *SMALL_OPTIONS, "--epochs", "1"]
    traced(["train_hub.py", *train, "--init", "scratch"], tmp_path)
    assert leaks(tmp_path) == []
    caches = {path.relative_to(tmp_path / "home").parts[:2] for path in left_at_home(tmp_path)}
    assert caches <= {(".cache", "huggingface"), (".cache", "matplotlib")}


@pytest.mark.slow
@pytest.mark.usefixtures("strace")
def test_the_page_keeps_to_itself(tmp_path):
    trace, log = tmp_path / "trace", tmp_path / "log"
    command = [*STRACE, str(trace), sys.executable, "app.py"]
    with serving.start(command, ROOT, environment(tmp_path), log, terminate=True) as server:
        urllib.request.urlopen(server.url, timeout=30).read()
        client = connected(server.url)
        photo = handle_file(EXAMPLES / "one_face.jpg")
        assert len(client.predict(photo, api_name="/predict")["faces"]) == 1
        files = [handle_file(EXAMPLES / name) for name in ("five_faces.jpg", "no_face.jpg")]
        assert len(client.predict(files, api_name="/analyze_batch")[0]) > 1
        film = handle_file(EXAMPLES / "film.mp4")
        assert client.predict(film, 1, api_name="/analyze_video")[0]
        time.sleep(LATER_S)
    assert leaks(tmp_path) == []
    assert left_at_home(tmp_path) == []


def test_an_onnxruntime_imported_before_is_silenced_from_then_on(monkeypatch, caplog):
    silenced = []
    monkeypatch.setattr("onnxruntime.disable_telemetry_events", lambda: silenced.append(True))
    monkeypatch.delenv("ORT_DISABLE_TELEMETRY")
    importlib.reload(emotion_detective)
    assert silenced and os.environ["ORT_DISABLE_TELEMETRY"] == "1"
    assert "onnxruntime was imported before emotion_detective" in caplog.text
