"""The About tab in a browser, and what the page asks of others."""

import csv
import re
from pathlib import Path

import pytest
from running import TIMEOUT_MS

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def open_tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def download(page, selector: str) -> list[dict]:
    button = page.locator(selector)
    expect(button).to_be_enabled()
    with page.expect_download() as waiting:
        button.click()
    return list(csv.DictReader(Path(waiting.value.path()).read_text("utf-8-sig").splitlines()))


def test_about_says_what_it_must_not_be_used_for(page):
    open_tab(page, "About")
    about = page.locator("#tab-about")
    expect(about.get_by_text("AI Act, Article 5(1)(f)")).to_be_visible()
    expect(about.get_by_text("deleted within 30 minutes").first).to_be_visible()
    expect(page.locator("#model")).to_have_text(
        re.compile(r"Which model\s+tiny, read from a folder on this server\.")
    )


def test_the_page_asks_no_other_server_and_sets_no_cookie(browser, server):
    context = browser.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server)
    page.set_input_files("#photo-intake input[type=file]", EXAMPLES / "one_face.jpg")
    expect(page.locator(".stage .ed-chip")).to_have_text("1")
    others = [url for url in asked if not url.startswith((server, "data:", "blob:"))]
    assert others == []
    assert context.cookies() == []
    context.close()
