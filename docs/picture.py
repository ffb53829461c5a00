"""Take the pictures of the running page: the README's, and the one that links to the page show.

    python docs/picture.py    # writes docs/page.png and emotion_detective/page/preview.png

Starts the app on its own model and looks at an example in headless Chromium, which must be on the
PATH; needs what requirements-dev.txt installs.
"""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parents[1]
EXAMPLE = ROOT / "examples" / "six_people.jpg"
README_PICTURE = ROOT / "docs" / "page.png"
PREVIEW = ROOT / "emotion_detective" / "page" / "preview.png"
README_SIZE, PREVIEW_SIZE = (1280, 760), (1200, 630)
START_TIMEOUT_S = 180


def main() -> None:
    """Start the page, take both pictures and end it."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {"GRADIO_SERVER_PORT": str(port)}
    server = subprocess.Popen([sys.executable, "app.py"], cwd=ROOT, env=environment)
    try:
        _wait_for(f"http://127.0.0.1:{port}")
        with sync_playwright() as running:
            browser = running.chromium.launch(
                executable_path=shutil.which("chromium"), args=["--no-sandbox"]
            )
            page = browser.new_page()
            for target, (width, height) in (
                (README_PICTURE, README_SIZE),
                (PREVIEW, PREVIEW_SIZE),
            ):
                page.set_viewport_size({"width": width, "height": height})
                _show_example(page, f"http://127.0.0.1:{port}")
                page.screenshot(path=target)
                Image.open(target).convert("RGB").save(target, optimize=True)
                print(f"{target.relative_to(ROOT)}: {target.stat().st_size / 1000:.0f} kB")
            browser.close()
    finally:
        server.terminate()
        server.wait()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.5)


def _show_example(page: Page, address: str) -> None:
    page.goto(address)
    page.set_input_files("#photo-intake input[type=file]", EXAMPLE)
    page.locator(".looks figure:not(.absent)").first.wait_for()
    page.locator(".ed-verdict .words").first.click()  # the pointer rests on no face
    page.wait_for_timeout(500)  # bars reach their length


if __name__ == "__main__":
    main()
