"""The real page in a process of its own, as `python app.py` starts it, for benchmarks and tests."""

import os
import socket
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import psutil
import report

# A start takes ten seconds alone on two cores; other work beside it must not fail it.
START_TIMEOUT_S = 300
POLL_S = 0.05


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
        """Return the seconds of processor time that it has used."""
        times = self.process.cpu_times()
        return times.user + times.system


@contextmanager
def serve(model: Path | str, folder: Path) -> Iterator[Server]:
    """Run app.py on a checkpoint with its uploads and its log in `folder`, until the block ends.

    Raises:
        RuntimeError: as `start`.
    """
    command, environment = [sys.executable, "app.py"], describe_environment(model, folder)
    with start(command, report.ROOT, environment, folder / "server.log", True) as server:
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
    told_to_end: bool = False,
) -> Iterator[Server]:
    """Run a command that starts the app of `checkout`, until the block ends.

    The app is killed at the end: one that is told to end waits seconds for clients that have not
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
        process.terminate() if told_to_end else process.kill()
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
