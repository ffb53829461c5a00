"""Headless Chromium in front of the real app, which runs on a tiny random model."""

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from running import SHIFTS, TIMEOUT_MS, WITHOUT_HTTPS

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
# What the oldest browsers that README names lack, and a script could ask for.
OLDEST = """
delete Promise.withResolvers;
for (const name of ["toSorted", "toReversed", "toSpliced", "with"]) delete Array.prototype[name];
for (const name of ["union", "intersection", "difference"]) delete Set.prototype[name];
for (const of_ of [Object, Map]) delete of_.groupBy;
"""
CAMERA_FRAMES = 20
CAMERA_HZ = 5  # at its usual 30 Chromium is busy with little else on two cores
# What the console says where a test keeps a request from the server.
HARMLESS = ("ERR_FAILED", "/gradio_api/")


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
def browser(camera) -> Iterator:
    """Headless Chromium with a fake camera that sees the portrait."""
    playwright = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    arguments = [
        "--no-sandbox",
        "--disable-gpu",
        # A tab in the background draws once a second or two, and each click waits for two pictures.
        "--disable-frame-rate-limit",
        "--disable-gpu-vsync",
        f"--use-fake-device-for-media-stream=fps={CAMERA_HZ}",
        "--use-fake-ui-for-media-stream",
        f"--use-file-for-fake-video-capture={camera}",
        f"--host-resolver-rules=MAP {WITHOUT_HTTPS} 127.0.0.1",
    ]
    with playwright.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.fixture(scope="session")
def visits(browser):
    """What all visitors share, the browser's cache; `shift` counts what jumps on their pages."""
    context = browser.new_context(accept_downloads=True)
    context.set_default_timeout(TIMEOUT_MS)
    context.add_init_script(OLDEST + SHIFTS)
    yield context
    context.close()


@pytest.fixture(scope="session")
def tabs(visits) -> Iterator[Callable]:
    """Lend a browser's tab: a page that loads where one was loads twice as fast as in a new tab."""
    idle = []

    @contextmanager
    def lend():
        tab = idle.pop() if idle else visits.new_page()
        tab.set_viewport_size({"width": 1280, "height": 900})
        yield tab
        if not tab.is_closed():
            tab.unroute_all()
            tab.emulate_media(color_scheme="null")
            tab.goto("about:blank")  # the visitor leaves
            idle.append(tab)

    return lend


@pytest.fixture
def open_page(browser, tabs, visits, server) -> Iterator[Callable]:
    """Open the page as a fresh visitor; fails if a browser's console shows an error."""
    errors = []

    def note(line) -> None:
        status, part = HARMLESS
        harmless = status in line.text and part in line.location["url"]
        if line.type == "error" and not harmless:
            errors.append(line.text)

    def fail(error) -> None:
        errors.append(str(error))

    with ExitStack() as lent:

        def open_one(address=server, script=""):
            if script:
                page = lent.enter_context(browser.new_page())
                page.set_viewport_size({"width": 1280, "height": 900})
                page.add_init_script(OLDEST + script)
            else:
                page = lent.enter_context(tabs())
            for event, handler in (("console", note), ("pageerror", fail)):
                page.on(event, handler)
                lent.callback(page.remove_listener, event, handler)
            page.goto(address)
            page.get_by_role("button", name="one face", exact=True).wait_for()
            return page

        yield open_one
    visits.clear_permissions()
    assert errors == []


@pytest.fixture
def page(open_page):
    """One fresh visitor's page."""
    return open_page()


@pytest.fixture(scope="module")
def visitor(tabs, server) -> Iterator[Callable]:
    """Open a tab of the page as a visitor with a window of this size."""
    with ExitStack() as lent:

        def come(tab: str, width: int, height: int):
            page = lent.enter_context(tabs())
            page.set_viewport_size({"width": width, "height": height})
            page.goto(server)
            page.get_by_role("tab", name=tab, exact=True).click()
            return page

        yield come
