"""The real page in a process of its own, as `python app.py` starts it, and a visitor of it.

Benchmarks and tests share it.
"""

import json
import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil
import report

# A start takes ten seconds alone on two cores; other work beside it must not fail it.
START_TIMEOUT_S = 300
POLL_S = 0.05
# The longest time in the queue of a busy page.
TIMEOUT_S = 180
PREDICT = "/gradio_api/call/predict"
QUEUE_FULL = "Queue is full"  # how Gradio's message begins; it comes with status 503


@dataclass(frozen=True)
class Server:
    """A page that answers at `url`; `begun_at` is `time.perf_counter()` when it was started."""

    url: str
    process: psutil.Process
    begun_at: float
    log: Path

    def rss_mb(self) -> float:
        """Return the memory it holds now, in MB."""
        return self.process.memory_info().rss / 1e6

    def cpu_s(self) -> float:
        """Return the seconds of CPU time that it has used."""
        times = self.process.cpu_times()
        return times.user + times.system


class BusyError(Exception):
    """The page's queue is full: come again later."""


class RefusedError(Exception):
    """The page's words where it answers without a prediction."""


def connect(url: str) -> httpx.AsyncClient:
    """Return an HTTP client of a page, for any number of visitors."""
    limits = httpx.Limits(max_connections=None)
    return httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits, trust_env=False)


async def ask(http: httpx.AsyncClient, path: Path) -> dict:
    """Send a picture file and return what `/predict` says of it.

    Raises:
        BusyError: the queue is full.
        RefusedError: the event stream ends with anything but a prediction.
    """
    sent = await http.post("/gradio_api/upload", files={"files": (path.name, path.read_bytes())})
    sent.raise_for_status()
    upload = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}
    joined = await http.post(PREDICT, json={"data": [upload, False]})
    if joined.status_code == httpx.codes.SERVICE_UNAVAILABLE and QUEUE_FULL in joined.text:
        raise BusyError
    joined.raise_for_status()
    stream = await http.get(f"{PREDICT}/{joined.json()['event_id']}")
    stream.raise_for_status()
    event, _, data = stream.text.strip().rpartition("\n\n")[-1].partition("\n")
    if event != "event: complete":
        raise RefusedError(f"{event}: {data}")
    return json.loads(data.removeprefix("data: "))[0]


@contextmanager
def serve(model: Path | str, folder: Path) -> Iterator[Server]:
    """Run app.py on a checkpoint with its uploads and its log in `folder`, until the block ends."""
    command, environment = [sys.executable, "app.py"], describe_environment(model, folder)
    with start(command, report.ROOT, environment, folder / "server.log") as server:
        yield server


def describe_environment(model: Path | str, folder: Path) -> dict[str, str]:
    """Return the environment of an app with this checkpoint and its uploads in `folder`."""
    return os.environ | {
        "EMOTION_MODEL": str(model),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "HF_HUB_OFFLINE": "1",
    }


@contextmanager
def start(
    command: list[str],
    checkout: Path,
    environment: dict[str, str],
    log: Path,
    terminate: bool = False,
) -> Iterator[Server]:
    """Run a command that starts the app of `checkout`, until the block ends.

    The app is killed at the end: one that is asked to end waits seconds for clients that have not
    left.

    Raises:
        RuntimeError: the app ended or did not answer in time; the message has its log.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = environment | {"GRADIO_SERVER_PORT": str(port)}
    begun_at = time.perf_counter()
    with log.open("w") as lines:
        process = psutil.Popen(command, cwd=checkout, env=environment, stdout=lines, stderr=lines)
    try:
        server = Server(f"http://127.0.0.1:{port}", process, begun_at, log)
        _wait_for(server)
        yield server
    finally:
        process.terminate() if terminate else process.kill()
        process.wait(30)


def _wait_for(server: Server) -> None:
    while time.perf_counter() < server.begun_at + START_TIMEOUT_S:
        if server.process.poll() is not None:
            raise RuntimeError(f"app.py ended:\n{server.log.read_text()}")
        try:
            urllib.request.urlopen(server.url, timeout=5).close()
            return
        except OSError:
            time.sleep(POLL_S)
    raise RuntimeError(
        f"app.py did not answer within {START_TIMEOUT_S} s:\n{server.log.read_text()}"
    )
