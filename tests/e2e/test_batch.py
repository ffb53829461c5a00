"""The Batch tab in a browser: totals, reasons, cards and table of many files."""

import zipfile
from io import BytesIO
from pathlib import Path

import pytest
from PIL import Image
from running import MAX_SHIFT, TIMEOUT_MS
from test_tabs import download

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
MANY = 60  # empty pictures: more than are shown at once


@pytest.fixture(scope="module")
def files(tmp_path_factory) -> list[Path]:
    """A picture with a face; a zip with a name in HTML, a broken entry and many empty ones."""
    packed = tmp_path_factory.mktemp("batch") / "many.zip"
    empty = BytesIO()
    Image.new("RGB", (64, 48), "gray").save(empty, "PNG")
    with zipfile.ZipFile(packed, "w") as archive:
        archive.write(EXAMPLES / "no_face.jpg", "<b id='injected'>no</b>.jpg")
        archive.writestr("broken.png", b"not a picture")
        for number in range(MANY):
            archive.writestr(f"empty-{number}.png", empty.getvalue())
    return [EXAMPLES / "one_face.jpg", packed]


def analyze(page, files: list[Path]) -> None:
    page.evaluate("shift = 0")
    page.set_input_files("#batch-intake input[type=file]", files)
    expect(page.locator(".batch .cards article").first).to_be_visible()


@pytest.fixture(scope="module")
def read(visitor, files):
    """A laptop's page with the answer; tests of this file share it."""
    page = visitor("Batch", 1366, 768)
    analyze(page, files)
    return page


def test_totals_come_first_and_nothing_jumps(read):
    said = f"{MANY + 3} files: 1 face, {MANY + 1} files without one, 1 that cannot be read."
    expect(read.locator("#batch-status")).to_have_text(said, use_inner_text=True)
    kinds = read.locator(".batch .kinds button").all_inner_texts()
    assert [kind.strip() for kind in kinds[1:]] == [
        f"no face {MANY + 1} files",
        "unreadable 1 file",
    ]
    expect(read.locator(".batch .share i")).to_have_count(1)  # of faces
    expect(read.locator(".batch .totals")).to_be_in_viewport(ratio=1)
    assert read.evaluate("shift") < MAX_SHIFT


def test_names_of_files_are_text(read):
    expect(read.locator(".batch .cards")).to_contain_text("<b id='injected'>no</b>.jpg")
    expect(read.locator(".batch table")).to_contain_text("<b id='injected'>no</b>.jpg")
    assert read.locator("#injected").count() == 0


def test_a_kind_shows_its_pictures_only_and_more_come_when_asked_for(read):
    cards = read.locator(".batch .cards article")
    expect(cards).to_have_count(24)
    read.locator(".batch .more").click()
    expect(cards).to_have_count(48)
    read.locator(".batch .kinds button", has_text="unreadable").click()
    expect(cards).to_have_count(1)
    expect(read.locator(".batch .more")).to_be_hidden()
    expect(read.locator(".batch tbody tr")).to_have_count(1)
    expect(cards).to_contain_text("The file (13 bytes) is no picture that can")
    expect(cards).to_contain_text("many.zip/broken.png")
    read.locator(".batch .kinds button", has_text="unreadable").click()
    expect(cards).to_have_count(24)
    picture = cards.first.locator("img")
    assert picture.evaluate("(one) => one.naturalWidth") == 240
    assert picture.get_attribute("alt").startswith("1 face: ")


def test_the_table_is_in_words_and_boxes_are_in_the_csv_only(read):
    table = read.locator(".batch table")
    expect(table).to_contain_text("cannot be read")
    expect(table).to_contain_text("no face found")
    expect(table).not_to_contain_text("box")
    rows = download(read, "#batch-csv")
    assert [row["status"] for row in rows[:3]] == ["ok", "no_face", "unreadable"]
    assert rows[0]["box"].startswith("[")


def test_a_card_opens_its_picture_in_photo(read):
    read.locator(".batch .open").nth(1).click()
    summary = read.locator("#tab-photo #summary")
    expect(summary).to_contain_text("No face found")  # that of the zip file
    read.get_by_role("tab", name="Batch").click()


def test_a_phone_shows_all_without_scrolling_sideways_and_can_begin_again(visitor, files):
    page = visitor("Batch", 390, 844)
    analyze(page, files)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.locator(".batch .totals")).to_be_in_viewport(ratio=1)
    assert page.evaluate("shift") < MAX_SHIFT
    page.locator("#batch-new").click()
    expect(page.locator("#batch-intake input[type=file]")).to_be_attached()
    page.locator("#batch-intake .cards button").first.click()
    expect(page.locator(".batch.ready .cards article").first).to_be_visible()
    cards = page.locator(".batch .cards p:has(.ed-chip)")  # made while the files were read
    answers = page.locator(".batch tbody td:nth-child(3)").all_inner_texts()
    assert cards.evaluate_all("(all) => all.map((one) => one.lastChild.textContent)") == [
        answer for answer in answers if "%" in answer
    ]
