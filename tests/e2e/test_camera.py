"""Cameras: refused, missing, out of reach; off as soon as nobody sees them; recordings."""

import re
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from running import TIMEOUT_MS
from test_tabs import download, open_tab

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
PORTRAIT = Path(__file__).resolve().parents[2] / "examples" / "one_face.jpg"
# A name of this machine for which a browser demands https before it gives a camera.
ELSEWHERE = "page.test"
# What keeps a browser from its camera, and what the page says then.
HINDRANCES = {
    "refused": (
        ["--use-fake-device-for-media-stream", "--deny-permission-prompts"],
        "The camera is blocked. Allow it ",
    ),
    "missing": (["--use-fake-ui-for-media-stream"], "No camera was found. Connect one"),
    "insecure": (
        [f"--host-resolver-rules=MAP {ELSEWHERE} 127.0.0.1"],
        "This browser gives no camera to pages without https. Choose a file instead",
    ),
}
# Keeps what the browser itself gives out, before the page's own script can.
TRACKS = """
tracks = [];
const give = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = async (wanted) => {
  const stream = await give(wanted);
  tracks.push(...stream.getTracks());
  return stream;
};
"""
HIDE = """
Object.defineProperty(document, "hidden", { value: true, configurable: true });
document.dispatchEvent(new Event("visibilitychange"));
"""
# Counts what is recorded. `delivered` of false keeps it from the page until the recording is over,
# as a browser without a free core does: Gradio then uploads nothing.
RECORDER = """
recordedBytes = 0; delivered = true; asked = [];
const start = MediaRecorder.prototype.start;
MediaRecorder.prototype.start = function (everyMs) {
  this.addEventListener("dataavailable", (event) => (recordedBytes += event.data.size));
  delivered ? start.call(this, everyMs) : start.call(this);
};
const ask = navigator.mediaDevices.getUserMedia.bind(navigator.mediaDevices);
navigator.mediaDevices.getUserMedia = (wanted) => (asked.push(wanted), ask(wanted));
"""
# So much is a second at least of what the fake camera sees.
ENOUGH_BYTES = 50_000


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_a_page_without_a_camera_says_why_and_goes_on(chromium, open_page, server, hindrance):
    arguments, sentence = HINDRANCES[hindrance]
    browser = chromium(*arguments)
    name = ELSEWHERE if hindrance == "insecure" else "127.0.0.1"
    page = open_page(browser, f"http://{name}:{urlsplit(server).port}")
    told = page.locator("#camera")
    paste = page.locator("#photo button[aria-label='Paste from clipboard']")
    expect(paste).to_be_visible(visible=hindrance != "insecure")
    for tab in ("Live", "Video", "Photo"):
        open_tab(page, tab)
        if tab == "Live":
            page.get_by_role("button", name="Start camera").click()
        else:
            page.locator(f"#{tab.lower()} button[aria-label='Capture from camera']").click()
            page.locator(f"#{tab.lower()} [title='grant webcam access']").click()
        expect(told).to_contain_text(sentence)
        told.get_by_role("button", name="Close").click()
        expect(told).to_have_text("")
    page.set_input_files("#photo input[type=file]", PORTRAIT)
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    browser.close()


def show_camera(page, tab: str) -> None:
    open_tab(page, tab)
    page.locator(f"#{tab.lower()} button[aria-label='Capture from camera']").click()
    page.locator(f"#{tab.lower()} [title='grant webcam access']").click()
    expect_camera(page, "is on")


def expect_camera(page, told: str) -> None:
    """The page says this of the camera, "" of none, and the newest track agrees."""
    line = page.locator("#camera > span")
    expect(line).to_have_text(f"Camera {told}" if told else "")
    assert page.evaluate("tracks.at(-1).readyState") == ("live" if told == "is on" else "ended")


def test_a_camera_is_on_only_while_it_is_seen_and_says_so(open_page):
    page = open_page(script=TRACKS)
    show_camera(page, "Photo")
    open_tab(page, "About")
    expect_camera(page, "")
    open_tab(page, "Photo")
    expect_camera(page, "is off")
    page.locator("#photo button[aria-label='capture photo']").click()  # takes no black picture
    page.get_by_role("button", name="Turn on").click()
    expect_camera(page, "is on")
    page.get_by_role("button", name="Turn off").click()
    expect_camera(page, "is off")
    page.get_by_role("button", name="Turn on").click()
    expect_camera(page, "is on")
    page.locator("#photo button[aria-label='capture photo']").click()
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    expect_camera(page, "")
    show_camera(page, "Video")
    page.evaluate(HIDE)
    expect_camera(page, "is off")
    assert page.evaluate("tracks.filter((track) => track.readyState === 'live').length") == 0


def test_a_change_of_tab_ends_a_recording_and_sends_nothing(open_page):
    page = open_page(script=TRACKS)
    show_camera(page, "Video")
    page.locator("#video button[aria-label='start recording']").click()
    open_tab(page, "About")
    expect(page.locator("#camera")).to_have_text("")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.wait_for_timeout(1000)
    assert asked == []
    assert page.evaluate("tracks.map((track) => track.readyState)") == ["ended"]


def record(page) -> None:
    page.locator("#video button[aria-label='Capture from camera']").click()
    page.locator("#video [title='grant webcam access']").click()
    button = page.locator("#video button[aria-label='start recording']")
    button.wait_for()
    page.evaluate("navigator.mediaDevices.enumerateDevices().then(() => null)")  # as Gradio does
    button.click()
    expect(button).to_contain_text("Stop")


def finish(page) -> None:
    page.locator("#video button[aria-label='start recording']").click()


@pytest.mark.slow
def test_an_empty_recording_gets_a_sentence_and_the_next_one_is_followed(open_page):
    page = open_page(script=RECORDER)
    open_tab(page, "Video")
    page.evaluate("delivered = false")
    record(page)
    finish(page)
    expect(page.locator("#video-status")).to_contain_text("The video is empty: record for a few")

    page.evaluate("delivered = true; recordedBytes = 0")
    page.locator("#video-new").click()
    record(page)
    page.wait_for_function(f"recordedBytes > {ENOUGH_BYTES}")
    finish(page)
    # A busy browser leaves gaps, after which the same face counts as another one.
    expect(page.locator("#video-status")).to_contain_text(
        re.compile(r"\d faces? in [\d.]+ seconds")
    )
    expect(page.locator(".film .faces label").first).to_be_visible()
    page.wait_for_function("Number.isFinite(document.querySelector('.film video').duration)")
    rows = download(page, "#video-csv")
    assert len(rows) >= 2 and rows[0]["track"] == "1"
    assert all(wanted["audio"] is False for wanted in page.evaluate("asked"))
