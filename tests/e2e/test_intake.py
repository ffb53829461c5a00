"""How a file gets in: dropped or pasted anywhere, on any tab; and the tabs' addresses."""

import base64
from pathlib import Path

import pytest
from running import TIMEOUT_MS
from test_tabs import open_tab

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
ONE_FACE = (EXAMPLES / "one_face.jpg").read_bytes()
# Files as they come from the desktop or the clipboard, some without a type.
FILES = """
(files) => {
  const all = new DataTransfer();
  for (const [name, type, content] of files) {
    const bytes = Uint8Array.from(atob(content), (c) => c.charCodeAt(0));
    all.items.add(new File([bytes], name, { type }));
  }
  return all;
}
"""


def carried(page, *files: tuple[str, str, bytes]):
    coded = [(name, kind, base64.b64encode(content).decode()) for name, kind, content in files]
    return page.evaluate_handle(FILES, coded)


def drop(page, *files: tuple[str, str, bytes]) -> None:
    data = {"dataTransfer": carried(page, *files)}
    page.dispatch_event("footer", "dragover", data)
    expect(page.locator("#ed-drop")).to_be_visible()
    page.dispatch_event("footer", "drop", data)
    expect(page.locator("#ed-drop")).to_be_hidden()


def expect_tab(page, name: str) -> None:
    expect(page.locator(f"#to-{name}")).to_have_attribute("aria-selected", "true")
    expect(page.locator(f"#tab-{name}")).to_be_visible()


def test_a_drop_anywhere_opens_the_tab_for_what_it_is(page, tmp_path):
    open_tab(page, "About")
    drop(page, ("one_face.jpg", "image/jpeg", ONE_FACE))
    expect_tab(page, "photo")
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    # On a result, without a type.
    drop(page, ("IMG_1", "", (EXAMPLES / "no_face.jpg").read_bytes()))
    expect(page.locator("#summary")).to_contain_text("No face found")
    drop(page, ("film.mp4", "video/mp4", (EXAMPLES / "film.mp4").read_bytes()))
    expect_tab(page, "video")
    expect(page.locator("#video-status")).to_contain_text(" seconds.")
    drop(page, ("a.jpg", "image/jpeg", ONE_FACE), ("b.JPG", "", ONE_FACE))
    expect_tab(page, "batch")
    expect(page.locator("#batch-status")).to_contain_text("2 files: 2 faces")


def test_what_is_neither_picture_nor_film_is_said_and_can_be_closed(page):
    drop(page, ("notes.txt", "text/plain", b"text"))
    said = page.get_by_role("alert").filter(has_text="“notes.txt” is neither a picture")
    expect(said).to_be_visible()
    said.get_by_role("button", name="Close").click()
    expect(said).to_be_hidden()
    expect_tab(page, "photo")


def test_a_picture_is_pasted_anywhere(page):
    open_tab(page, "Live")
    data = carried(page, ("copied.png", "image/png", ONE_FACE))
    page.evaluate(
        "(data) => document.body.dispatchEvent("
        "new ClipboardEvent('paste', { clipboardData: data, bubbles: true }))",
        data,
    )
    expect_tab(page, "photo")
    expect(page.locator("#summary")).to_contain_text("1 face: ")


def test_the_button_pastes_what_the_clipboard_has(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async () => {
            const canvas = document.createElement("canvas");
            const picture = await new Promise((done) => canvas.toBlob(done, "image/png"));
            await navigator.clipboard.write([new ClipboardItem({ "image/png": picture })]);
        }"""
    )
    page.locator("#photo-intake .paste").click()
    expect(page.locator("#summary")).to_contain_text("No face found")


def test_each_tab_has_an_address_back_goes_back_and_reload_stays(page, server):
    for name in ("Live", "About"):
        open_tab(page, name)
    assert page.url == f"{server}/#about"
    page.go_back()
    expect_tab(page, "live")
    page.reload()
    expect_tab(page, "live")
    page.locator("#to-live").focus()
    for key, name in (("ArrowRight", "video"), ("End", "about"), ("ArrowRight", "photo")):
        page.keyboard.press(key)
        expect_tab(page, name)
        expect(page.locator(f"#to-{name}")).to_be_focused()


def test_a_server_that_is_gone_is_said_once_and_can_be_tried_again(page):
    page.route("**/upload", lambda route: route.abort())
    page.set_input_files("#photo-intake input[type=file]", EXAMPLES / "one_face.jpg")
    said = page.get_by_role("alert").filter(has_text="The server does not answer.")
    expect(said).to_be_visible()
    page.unroute("**/upload")
    said.get_by_role("button", name="Try again").click()
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    expect(said).to_be_hidden()


def test_a_server_that_goes_while_one_waits_is_said(page):
    # The last two: Gradio reloads the page once they answer again.
    for route in ("queue/join", "queue/status", "app_id"):
        page.route(f"**/{route}*", lambda route: route.abort())
    page.set_input_files("#photo-intake input[type=file]", EXAMPLES / "one_face.jpg")
    said = page.get_by_role("alert").filter(has_text="The server does not answer.")
    expect(said).to_be_visible()
    expect(page.locator("#photo-intake .zone")).to_be_visible()
