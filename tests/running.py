"""The real app in a process of its own, and what the tests in front of it share."""

import os
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from gradio_client import Client

ROOT = Path(__file__).resolve().parents[1]
# A start takes ten seconds alone on two cores; other work beside it must not fail the test.
START_TIMEOUT_S = 300
TIMEOUT_MS = 90_000
# What moved on a page by itself: not within half a second of what the visitor did.
SHIFTS = """
shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
MAX_SHIFT = 0.02


def connected(url: str, **options) -> Client:
    """Return a gradio_client that waits for as long as the browser does, not for 5 seconds."""
    timeout = {"timeout": TIMEOUT_MS / 1000}
    return Client(url, verbose=False, httpx_kwargs=timeout, **options)


@contextmanager
def running_app(
    folder: Path, model: Path, before: str = "", told_to_end: bool = False
) -> Iterator[str]:
    """Run app.py with its uploads under `folder`; yield its address. `before` is Python to run."""
    environment = os.environ | {
        "EMOTION_MODEL": str(model),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "HF_HUB_OFFLINE": "1",
    }
    code = f"{before}\nimport runpy; runpy.run_path('app.py', run_name='__main__')"
    command, log = [sys.executable, "-c", code], folder / "server.log"
    with serving(command, ROOT, environment, log, told_to_end) as url:
        yield url


@contextmanager
def serving(
    command: list[str],
    checkout: Path,
    environment: dict[str, str],
    log_path: Path,
    told_to_end: bool = False,
) -> Iterator[str]:
    """Run a command that starts the app of `checkout`; yield its address once it answers.

    It is killed at the end: one that is told to end waits seconds for clients that have not left.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = environment | {"GRADIO_SERVER_PORT": str(port)}
    with log_path.open("w") as log:
        process = subprocess.Popen(command, cwd=checkout, env=environment, stdout=log, stderr=log)
    try:
        _wait_for(f"http://127.0.0.1:{port}", process, log_path)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate() if told_to_end else process.kill()
        process.wait(30)


def _wait_for(url: str, process: subprocess.Popen, log: Path) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while time.monotonic() < deadline:
        if process.poll() is not None:
            pytest.fail(f"app.py ended with {process.returncode}:\n{log.read_text()}")
        try:
            urllib.request.urlopen(url, timeout=5).close()
            return
        except OSError:
            time.sleep(0.3)
    pytest.fail(f"app.py did not answer within {START_TIMEOUT_S} s:\n{log.read_text()}")
