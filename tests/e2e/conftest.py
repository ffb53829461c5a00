"""The real app in its own process, on a tiny random model, and headless Chromium in front of it."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# A start takes ten seconds alone on two cores; other work beside it must not fail the test.
START_TIMEOUT_S = 300
TIMEOUT_MS = 90_000
CAMERA_FRAMES = 20


@contextmanager
def running_app(folder: Path, model: Path, before: str = "") -> Iterator[str]:
    """Run app.py with its uploads under `folder`; yield its address. `before` is Python to run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "EMOTION_MODEL": str(model),
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(folder / "uploads"),
        "HF_HUB_OFFLINE": "1",
    }
    code = f"{before}\nimport runpy; runpy.run_path('app.py', run_name='__main__')"
    with (folder / "server.log").open("w") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", code], cwd=ROOT, env=environment, stdout=log, stderr=log
        )
    try:
        _wait_for(f"http://127.0.0.1:{port}", process, folder / "server.log")
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
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


@pytest.fixture(scope="session")
def server_folder(tmp_path_factory) -> Path:
    """Where the server's log and uploads lie."""
    return tmp_path_factory.mktemp("server")


@pytest.fixture(scope="session")
def server(server_folder, tiny_checkpoint) -> Iterator[str]:
    """The address of the running app."""
    with running_app(server_folder, tiny_checkpoint) as url:
        yield url


@pytest.fixture(scope="session")
def client(server):
    """A gradio_client of the running app."""
    from gradio_client import Client

    return Client(server, verbose=False)


@pytest.fixture(scope="session")
def camera(tmp_path_factory, astronaut) -> Path:
    """A film of the portrait for Chromium's fake camera: JPEG files one after the other."""
    frame = Image.new("RGB", (640, 480), "gray")
    frame.paste(astronaut.resize((480, 480)), (0, 0))  # left of the middle: a mirror would show
    file = BytesIO()
    frame.save(file, "JPEG")
    path = tmp_path_factory.mktemp("camera") / "camera.mjpeg"
    path.write_bytes(file.getvalue() * CAMERA_FRAMES)
    return path


@pytest.fixture(scope="session")
def browser(camera):
    """Headless Chromium with a fake camera that sees the portrait."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        "--use-fake-device-for-media-stream",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
    ]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture
def page(browser, server):
    """A fresh visitor's page, opened; fails if the browser's console shows an error."""
    context = browser.new_context(viewport={"width": 1280, "height": 900}, accept_downloads=True)
    context.set_default_timeout(TIMEOUT_MS)
    page = context.new_page()
    errors = []
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.goto(server)
    page.wait_for_selector("#photo input[type=file]", state="attached")
    yield page
    context.close()
    assert errors == []
