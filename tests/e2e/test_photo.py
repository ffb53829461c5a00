"""The Photo tab in a browser: upload, webcam, choosing faces, no face, odd files, downloads."""

import base64
import csv
import json
import re
from pathlib import Path

import pytest
from PIL import Image
from running import TIMEOUT_MS
from test_tabs import places

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def upload(page, path) -> None:
    page.set_input_files("#photo input[type=file]", path)


def test_upload_boxes_numbers_and_rates_every_face(page):
    upload(page, EXAMPLES / "five_faces.jpg")
    expect(page.locator("#summary")).to_contain_text("4 faces: 1 ")  # the fifth is a blur
    expect(page.locator("#faces label")).to_have_count(4)
    expect(page.locator("#card .number")).to_have_text("1")
    shares = page.locator("#card .share").all_inner_texts()
    assert len(shares) == 6
    assert sum(int(share.rstrip("%")) for share in shares) == pytest.approx(100, abs=3)
    for picture in ("#annotated", "#seen", "#heat"):
        expect(page.locator(f"{picture} img")).to_be_visible()


def test_a_row_of_the_list_chooses_a_face(page):
    upload(page, EXAMPLES / "five_faces.jpg")
    page.locator("#faces label").nth(2).click()
    expect(page.locator("#card .number")).to_have_text("3")


def test_the_list_of_faces_works_from_the_keyboard(page):
    upload(page, EXAMPLES / "five_faces.jpg")
    expect(page.locator("#card .number")).to_have_text("1")
    page.locator("#faces input").first.focus()
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#card .number")).to_have_text("2")


def test_a_click_into_a_box_chooses_its_face(page):
    upload(page, EXAMPLES / "five_faces.jpg")
    expect(page.locator("#card .number")).to_have_text("1")
    picture = page.locator("#annotated img")
    expect(picture).to_be_visible()  # until it has come it is 0 pixels wide
    area = picture.bounding_box()
    # The small face at 806, 441 of 1000 x 640 is number 4; the picture is centred in its frame.
    scale = min(area["width"] / 1000, area["height"] / 640)
    left, top = (area["width"] - 1000 * scale) / 2, (area["height"] - 640 * scale) / 2
    picture.click(position={"x": left + 806 * scale, "y": top + 441 * scale})
    expect(page.locator("#card .number")).to_have_text("4")
    expect(page.locator("#faces input").nth(3)).to_be_checked()


def test_no_face_is_said_and_the_whole_picture_can_be_read(page):
    upload(page, EXAMPLES / "no_face.jpg")
    expect(page.locator("#summary")).to_contain_text("No face found")
    expect(page.locator("#faces label")).to_have_count(0)
    page.locator("#whole input").check()
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    expect(page.locator("#faces label")).to_have_count(1)


def test_a_picture_of_48_pixels_can_be_read_as_one_face(page, tmp_path, astronaut):
    face = tmp_path / "face.png"
    astronaut.crop((165, 55, 285, 175)).convert("L").resize((48, 48)).save(face)
    page.locator("#whole input").check()
    upload(page, face)
    expect(page.locator("#summary")).to_contain_text("1 face: ")


def test_a_file_that_is_no_picture_gets_a_sentence_and_the_next_one_works(page, tmp_path):
    broken = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    broken.write_bytes(b"not a picture")
    upload(page, broken)
    expect(page.locator("#summary")).to_contain_text("is no picture that can be read")
    page.locator("#photo button[aria-label='Remove Image']").click()
    upload(page, EXAMPLES / "one_face.jpg")
    expect(page.locator("#summary")).to_contain_text("1 face: ")


def test_webcam_snapshot_is_rated_unmirrored(page):
    page.locator("button[aria-label='Capture from camera']").first.click()
    page.locator("#photo [title='grant webcam access']").click()
    # The button is there before the camera's first frame, and does nothing until then.
    page.wait_for_function("document.querySelector('#photo video')?.readyState >= 2")
    page.locator("#photo button[aria-label='capture photo']").click()
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    with page.expect_download() as download:
        page.locator("#download-json").click()
    (face,) = json.loads(Path(download.value.path()).read_text())["faces"]
    left, _, right, _ = face["box"]
    assert (left + right) / 2 < 260  # of 640: the portrait is left of the middle


def test_a_picture_from_the_clipboard_is_rated(page, astronaut, tmp_path):
    astronaut.crop((100, 0, 400, 300)).save(tmp_path / "copied.png")
    content = base64.b64encode((tmp_path / "copied.png").read_bytes()).decode()
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.evaluate(
        """async (address) => {
            const picture = await (await fetch(address)).blob();
            await navigator.clipboard.write([new ClipboardItem({"image/png": picture})]);
        }""",
        f"data:image/png;base64,{content}",
    )
    page.locator("#photo button[aria-label='Paste from clipboard']").click()
    expect(page.locator("#summary")).to_contain_text("1 face: ")


def test_an_example_works_at_a_click(page):
    page.get_by_role("button", name="Example: one face").click()
    expect(page.locator("#summary")).to_contain_text("1 face: ")


def test_downloads_hold_picture_answer_and_table(page):
    upload(page, EXAMPLES / "five_faces.jpg")
    contents = {}
    for kind in ("PNG", "JSON", "CSV"):
        button = page.locator(f"#download-{kind.lower()}")
        expect(button).to_be_enabled()
        with page.expect_download() as download:
            button.click()
        contents[kind] = Path(download.value.path())
        assert download.value.suggested_filename == f"faces.{kind.lower()}"
    assert Image.open(contents["PNG"]).format == "PNG"
    answer = json.loads(contents["JSON"].read_text())
    rows = list(csv.DictReader(contents["CSV"].read_text().splitlines()))
    assert len(rows) == len(answer["faces"]) == 4
    assert float(rows[0]["happy"]) == pytest.approx(
        answer["faces"][0]["probabilities"]["happy"], abs=1e-6
    )


def test_without_a_picture_there_is_nothing_to_download(page):
    buttons = [page.locator(f"#download-{kind}") for kind in ("png", "json", "csv")]
    upload(page, EXAMPLES / "five_faces.jpg")
    expect(page.locator("#card .number")).to_have_text("1")
    page.locator("#photo button[aria-label='Remove Image']").click()
    expect(page.locator("#summary [role=status]")).to_contain_text("Choose a picture")
    page.wait_for_timeout(1000)  # what is still being written
    for button in buttons:
        expect(button).to_be_disabled()


def test_nothing_jumps_while_results_arrive(page):
    parts = ("#annotated", "#faces", "#card", "#seen", "#download-png")
    before = places(page, *parts)
    upload(page, EXAMPLES / "five_faces.jpg")
    expect(page.locator("#card .number")).to_have_text("1")
    assert places(page, *parts) == pytest.approx(before, abs=1)


@pytest.mark.parametrize("width", [360, 1280])
def test_no_tab_is_wider_than_the_screen(page, width):
    page.set_viewport_size({"width": width, "height": 800})
    upload(page, EXAMPLES / "one_face.jpg")
    expect(page.locator("#card .number")).to_have_text("1")
    for name in ("Live", "Video", "Batch", "About", "Photo"):
        tab = page.get_by_role("tab", name=name, exact=True)
        if not tab.is_visible():  # on a phone some tabs lie behind a menu
            page.locator(".overflow-menu > button").click()
            page.locator(".overflow-dropdown button", has_text=re.compile(name)).click()
        else:
            tab.click()
        assert page.evaluate("document.documentElement.scrollWidth") <= width
