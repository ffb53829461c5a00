"""The Video, Batch and About tabs in a browser, with real files."""

import csv
import re
import sys
import zipfile
from pathlib import Path

import pytest
from PIL import Image
from running import TIMEOUT_MS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from films import film

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture(scope="module")
def moving_face(tmp_path_factory, astronaut) -> Path:
    """Two seconds of a face that moves to the right."""
    pictures = []
    for step in range(10):
        picture = Image.new("RGB", (480, 360), (60, 70, 90))
        picture.paste(astronaut.crop((96, 0, 376, 280)), (20 + 10 * step, 40))
        pictures.append(picture)
    return film(tmp_path_factory.mktemp("films") / "moving.mp4", pictures, rate_hz=5)


def open_tab(page, name: str) -> None:
    page.get_by_role("tab", name=name, exact=True).click()


def places(page, *selectors: str) -> list[float]:
    """How far below the page's top each of these is."""
    return [page.locator(one).bounding_box()["y"] for one in selectors]


def download(page, selector: str) -> list[dict]:
    button = page.locator(selector)
    expect(button).to_be_enabled()
    with page.expect_download() as waiting:
        button.click()
    return list(csv.DictReader(Path(waiting.value.path()).read_text().splitlines()))


def test_video_is_followed_charted_and_drawn(page, moving_face):
    open_tab(page, "Video")
    page.set_input_files("#video input[type=file]", moving_face)
    expect(page.locator("#video video")).to_be_visible()
    parts = ("#video-annotated", "#video-tracks", "#video-lines", "#video-moments")
    before = places(page, *parts)
    page.locator("#video-start").click()
    expect(page.locator("#video-tracks label")).to_have_count(1)
    expect(page.locator("#video-moments img").first).to_be_visible()
    expect(page.locator("#video-annotated video")).to_be_visible()
    expect(page.locator("#video-status")).to_contain_text("1 face in 1.8 seconds: 1 ")
    assert places(page, *parts) == pytest.approx(before, abs=1)  # nothing has jumped
    rows = download(page, "#video-csv")
    assert len(rows) >= 5
    assert list(rows[0])[:5] == ["time_s", "track", "box", "label", "confidence"]


def test_a_video_without_a_picture_gets_a_sentence(page, tmp_path):
    open_tab(page, "Video")
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    page.set_input_files("#video input[type=file]", broken)
    page.locator("#video button[aria-label='Clear'], #video video").first.wait_for()
    page.locator("#video-start").click()
    expect(page.locator("#video-status")).to_contain_text("no video that can be read")


def test_batch_survives_bad_files_and_renders_no_html_from_names(page, tmp_path):
    packed = tmp_path / "many.zip"
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(EXAMPLES / "no_face.jpg", "<b id='injected'>no</b>.jpg")
        archive.writestr("broken.png", b"not a picture")
    open_tab(page, "Batch")
    page.set_input_files("#batch-files input[type=file]", [EXAMPLES / "one_face.jpg", packed])
    expect(page.locator("#batch-files")).to_contain_text("many")
    page.locator("#batch-start").click()
    said = "3 files: 1 face, 1 file without one, 1 that cannot be read."
    expect(page.locator("#batch-status")).to_contain_text(said)
    page.locator("#batch-stop").click()
    expect(page.locator("#batch-table")).to_contain_text("<b id='injected'>no</b>.jpg")
    assert page.locator("#injected").count() == 0
    rows = download(page, "#batch-csv")
    assert [row["status"] for row in rows] == ["ok", "no_face", "unreadable"]
    expect(page.locator("#batch-status")).to_contain_text(said)  # there was nothing to stop


def test_about_says_what_it_must_not_be_used_for(page):
    open_tab(page, "About")
    about = page.get_by_role("tabpanel")
    expect(about.get_by_text("AI Act, Article 5(1)(f)")).to_be_visible()
    expect(about.get_by_text("deleted within 11 minutes").first).to_be_visible()
    expect(page.locator("#model")).to_have_text(
        re.compile(r"Which model\s+tiny, read from a folder on this server\.")
    )


def test_the_page_asks_no_other_server_and_sets_no_cookie(browser, server):
    context = browser.new_context()
    page = context.new_page()
    asked = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(server)
    page.set_input_files("#photo input[type=file]", EXAMPLES / "one_face.jpg")
    expect(page.locator(".stage .ed-chip")).to_have_text("1")
    others = [url for url in asked if not url.startswith((server, "data:", "blob:"))]
    assert others == []
    assert context.cookies() == []
    context.close()
