"""Cameras: refused, missing, out of reach; off as soon as nobody sees them; recordings."""

import re
from urllib.parse import urlsplit

import pytest
from running import TIMEOUT_MS, WITHOUT_HTTPS
from test_tabs import download, open_tab

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
# What a browser answers who asks it for a camera, and what the page says then.
HINDRANCES = {
    "NotAllowedError": "The camera is blocked. Allow it ",
    "NotFoundError": "No camera was found. Connect one",
    "insecure": "This browser gives no camera to pages without https. Choose a file instead",
}
REFUSE = """
(name) => {
  navigator.mediaDevices.getUserMedia = async () => { throw new DOMException("", name); };
}
"""
# Keeps what the browser gives out, counts what is recorded. `delivered` of false keeps it from the
# page until the recording is over, as a browser without a free core does.
WATCHED = """
tracks = []; asked = []; recordedBytes = 0;
const give = navigator.mediaDevices?.getUserMedia.bind(navigator.mediaDevices);
if (give) navigator.mediaDevices.getUserMedia = async (wanted) => {
  asked.push(wanted);
  const stream = await give(wanted);
  tracks.push(...stream.getTracks());
  return stream;
};
const start = MediaRecorder.prototype.start;
MediaRecorder.prototype.start = function () {
  this.addEventListener("dataavailable", (event) => (recordedBytes += event.data.size));
  start.call(this, 100);
};
"""
HIDE = """
Object.defineProperty(document, "hidden", { value: true, configurable: true });
document.dispatchEvent(new Event("visibilitychange"));
"""
# So much is a second at least of what the fake camera sees.
ENOUGH_BYTES = 50_000


@pytest.mark.parametrize("hindrance", HINDRANCES)
def test_a_page_without_a_camera_says_why_where_one_looks(open_page, server, hindrance):
    name = WITHOUT_HTTPS if hindrance == "insecure" else "127.0.0.1"
    page = open_page(address=f"http://{name}:{urlsplit(server).port}")
    if hindrance != "insecure":
        page.evaluate(REFUSE, hindrance)
    sentence = HINDRANCES[hindrance]
    expect(page.locator("#photo-intake .paste")).to_be_visible(visible=hindrance != "insecure")
    for tab in ("Photo", "Video"):
        open_tab(page, tab)
        page.locator(f"#{tab.lower()}-intake .camera").click()
        expect(page.locator(f"#{tab.lower()}-intake .refused")).to_contain_text(sentence)
        expect(page.locator(f"#{tab.lower()}-intake .file")).to_be_visible()
    open_tab(page, "Live")
    page.get_by_role("button", name="Start camera").click()
    expect(page.locator(".live-status")).to_contain_text(sentence)


def test_a_page_in_a_frame_without_a_camera_can_be_opened_by_itself(browser, server):
    page = browser.new_page()
    around = f"""<iframe src="{server}" allow="camera 'none'" width=1000 height=700></iframe>"""
    page.route("**/around", lambda route: route.fulfill(content_type="text/html", body=around))
    page.goto(f"{server}/around")
    frame = page.frame_locator("iframe")
    frame.locator("#photo-intake .camera").click()
    expect(frame.locator("#photo-intake .refused a")).to_have_attribute(
        "href", re.compile(re.escape(server))
    )
    page.close()


def show_camera(page, tab: str) -> None:
    open_tab(page, tab)
    page.locator(f"#{tab.lower()}-intake .camera").click()
    expect(page.locator(f"#{tab.lower()}-intake .shutter")).to_be_enabled()


def expect_off(page, tab: str) -> None:
    page.wait_for_function("tracks.every((track) => track.readyState === 'ended')")
    expect(page.locator(f"#{tab.lower()}-intake")).not_to_have_class(re.compile("looking"))


def test_a_camera_is_on_only_while_it_is_seen(open_page):
    page = open_page(script=WATCHED)
    show_camera(page, "Photo")
    open_tab(page, "About")
    expect_off(page, "Photo")
    show_camera(page, "Photo")
    page.locator("#photo-intake .cancel").click()
    expect_off(page, "Photo")
    show_camera(page, "Video")
    page.evaluate(HIDE)
    expect_off(page, "Video")
    assert all(wanted["audio"] is False for wanted in page.evaluate("asked"))


def test_a_change_of_tab_ends_a_recording_and_sends_nothing(open_page):
    page = open_page(script=WATCHED)
    show_camera(page, "Video")
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.locator("#video-intake .shutter").click()
    page.wait_for_function("recordedBytes > 0")
    open_tab(page, "About")
    expect_off(page, "Video")
    show_camera(page, "Video")  # as good as new
    page.locator("#video-intake .cancel").click()
    assert asked == []


@pytest.mark.slow
def test_a_recording_is_followed(open_page):
    page = open_page(script=WATCHED)
    show_camera(page, "Video")
    page.locator("#video-intake .shutter").click()
    page.wait_for_function(f"recordedBytes > {ENOUGH_BYTES}")
    page.locator("#video-intake .shutter").click()
    # A busy browser leaves gaps, after which the same face counts as another one.
    expect(page.locator("#video-status")).to_contain_text(
        re.compile(r"\d faces? in [\d.]+ seconds")
    )
    expect(page.locator(".film .faces label").first).to_be_visible()
    page.wait_for_function("Number.isFinite(document.querySelector('.film video').duration)")
    rows = download(page, "#video-csv")
    assert len(rows) >= 2 and rows[0]["track"] == "1"
