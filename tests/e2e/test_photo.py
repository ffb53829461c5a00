"""The Photo tab in a browser: what stands on the screen, choosing faces, odd files, downloads."""

import csv
import json
import re
import sys
from pathlib import Path

import pytest
from PIL import Image
from running import ALL_SHIFTS, MAX_SHIFT, TIMEOUT_MS

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from corpus import encoded

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
LAPTOP, PHONE = (1366, 768), (390, 844)
FACES = {"one_face.jpg": 1, "five_faces.jpg": 5, "no_face.jpg": 0}


def upload(page, path) -> None:
    page.set_input_files("#photo-intake input[type=file]", path)
    expect(page.locator("#summary")).not_to_have_class("progress")


def chosen(page):
    return page.locator(".stage .ed-chip")


def save(page, kind: str) -> tuple[str, Path]:
    """Return the name and the content of a download."""
    with page.expect_download() as waiting:
        page.locator(f".save [data-kind={kind}]").click()
    return waiting.value.suggested_filename, Path(waiting.value.path())


def is_on_screen(page, selector: str) -> bool:
    width, height = page.viewport_size["width"], page.viewport_size["height"]
    area = page.locator(selector).bounding_box()
    return (
        area["x"] >= 0
        and area["y"] >= 0
        and area["x"] + area["width"] <= width
        and area["y"] + area["height"] <= height
    )


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_picture_verdict_and_bars_are_on_one_screen(page, size):
    page.set_viewport_size({"width": size[0], "height": size[1]})
    for name, count in FACES.items():
        upload(page, EXAMPLES / name)
        expect(page.locator(".stage .box")).to_have_count(count)
        answer = (".stage .ed-verdict >> nth=0", ".stage .ed-bars")
        parts = answer if count else (".nobody h2", ".whole")
        for part in (".stage .fit img", "#photo-stage .again", *parts):
            assert is_on_screen(page, part), (name, part)
        if count > 1:
            assert is_on_screen(page, ".stage .ed-strip"), name
        if count and size == LAPTOP:
            assert is_on_screen(page, ".stage .save"), name
        page.locator("#photo-stage .again").click()
        expect(page.locator("#photo-intake .zone")).to_be_visible()


@pytest.fixture(scope="module")
def five(visitor):
    """A page with a picture of five faces, which the tests that have it share."""
    page = visitor("Photo", 1280, 900)
    upload(page, EXAMPLES / "five_faces.jpg")
    expect(page.locator("#summary")).to_contain_text("5 faces: ")
    return page


def test_upload_boxes_numbers_and_rates_every_face(five):
    expect(five.locator(".ed-strip [role=radio]")).to_have_count(5)
    expect(chosen(five)).to_have_text("1")
    shares = five.locator(".stage .ed-bars b").all_inner_texts()
    assert len(shares) == 6
    assert sum(int(share.rstrip("%+")) for share in shares) == pytest.approx(100, abs=1)
    for picture in five.locator(".looks img").all():
        expect(picture).to_be_visible()
    alternative = five.locator(".stage .fit img").get_attribute("alt")
    assert alternative.startswith("Your picture with a box around every face found. 5 faces: ")


def test_a_face_is_chosen_by_its_crop_its_box_the_pointer_and_the_keyboard(five):
    faces = five.locator(".ed-strip [role=radio]")
    faces.nth(2).click()
    expect(chosen(five)).to_have_text("3")
    area = five.locator(".stage .fit").bounding_box()
    # The small face at 806, 441 of 1000 x 640 is number 5.
    five.locator(".stage .fit").click(
        position={"x": area["width"] * 0.806, "y": area["height"] * 441 / 640}
    )
    expect(chosen(five)).to_have_text("5")
    expect(faces.nth(4)).to_have_attribute("aria-checked", "true")
    five.locator(".stage .box").first.hover(force=True)
    expect(chosen(five)).to_have_text("1")
    faces.first.focus()
    for key, number in (("ArrowRight", 2), ("End", 5), ("ArrowDown", 1), ("ArrowLeft", 5)):
        five.keyboard.press(key)
        expect(chosen(five)).to_have_text(str(number))
        expect(faces.nth(number - 1)).to_be_focused()
        expect(five.locator(".stage .box.chosen")).to_have_count(1)
    assert [face.get_attribute("tabindex") for face in faces.all()] == ["-1", "-1", "-1", "-1", "0"]


def test_downloads_hold_picture_answer_table_and_card(five):
    five.locator(".ed-strip [role=radio]").nth(1).click()
    name, picture = save(five, "png")
    assert (name, Image.open(picture).format) == ("faces.png", "PNG")
    name, card = save(five, "card")
    assert (name, Image.open(card).size) == ("emotion-card.png", (1200, 630))
    answer = json.loads(save(five, "json")[1].read_text())
    rows = list(csv.DictReader(save(five, "csv")[1].read_text("utf-8-sig").splitlines()))
    assert len(rows) == len(answer["faces"]) == 5
    assert float(rows[0]["happy"]) == pytest.approx(
        answer["faces"][0]["probabilities"]["happy"], abs=1e-6
    )


def test_thirty_faces_have_legible_tags_and_a_strip(page, tmp_path, astronaut):
    crowd = Image.new("RGB", (1500, 1250), "gray")
    portrait = astronaut.crop((130, 20, 330, 220)).resize((240, 240))
    for i in range(30):
        crowd.paste(portrait, (5 + 250 * (i % 6), 5 + 250 * (i // 6)))
    crowd.save(tmp_path / "crowd.png")
    upload(page, tmp_path / "crowd.png")
    expect(page.locator(".ed-strip [role=radio]")).to_have_count(30)
    tags = page.locator(".stage .tag:not([hidden])")
    sizes = tags.evaluate_all(
        "(all) => all.map((tag) => parseFloat(getComputedStyle(tag).fontSize))"
    )
    assert len(sizes) == 30 and min(sizes) >= 12
    areas = [tag.bounding_box() for tag in tags.all()]
    assert not any(overlap(a, b) for i, a in enumerate(areas) for b in areas[:i])
    page.locator(".ed-strip [role=radio]").first.focus()
    page.keyboard.press("End")
    expect(chosen(page)).to_have_text("30")
    expect(page.locator(".ed-strip [role=radio]").last).to_be_in_viewport(ratio=1)
    whole = page.locator(".stage .fit").bounding_box()["width"]
    for times in (2, 4):
        page.get_by_role("button", name="Zoom in").click()
        assert page.locator(".stage .fit").bounding_box()["width"] == pytest.approx(
            times * whole, abs=1
        )
        expect(page.locator(".stage .box.chosen")).to_be_in_viewport(ratio=1)
    page.get_by_role("button", name="Show the whole picture").click()
    assert page.locator(".stage .fit").bounding_box()["width"] == pytest.approx(whole, abs=1)


def overlap(a: dict, b: dict) -> bool:
    return (
        a["x"] < b["x"] + b["width"]
        and b["x"] < a["x"] + a["width"]
        and a["y"] < b["y"] + b["height"]
        and b["y"] < a["y"] + a["height"]
    )


def test_no_face_is_said_and_the_whole_picture_can_be_read(page):
    upload(page, EXAMPLES / "no_face.jpg")
    expect(page.locator("#summary")).to_contain_text("No face found")
    expect(page.locator(".stage .face")).to_be_hidden()
    page.locator(".whole").click()
    expect(page.locator("#summary")).to_have_text(
        "No face found; the picture is read as if it were one."
    )
    expect(chosen(page)).to_have_text("1")
    expect(page.locator(".often")).to_have_text("")  # which odds are not known


def test_a_file_that_is_no_picture_gets_a_sentence_and_the_next_one_works(page, tmp_path):
    broken = tmp_path / "<img src=x onerror=alert(1)>.jpg"
    broken.write_bytes(b"not a picture")
    upload(page, broken)
    expect(page.locator("#summary")).to_contain_text("is no picture that can be read")
    expect(page.locator("#summary")).to_have_class("error")
    expect(page.locator("#photo-intake .zone")).to_be_visible()
    upload(page, EXAMPLES / "one_face.jpg")
    expect(page.locator("#summary")).to_contain_text("1 face: ")


def test_a_file_that_the_browser_cannot_show_is_read(page, tmp_path, astronaut):
    (tmp_path / "IMG_0001.HEIC").write_bytes(encoded(astronaut, "HEIC"))
    upload(page, tmp_path / "IMG_0001.HEIC")
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    assert page.locator(".stage .fit img").evaluate("(image) => image.naturalWidth") > 500


def test_a_snapshot_is_shown_as_a_mirror_and_read_as_it_is(page):
    page.locator("#photo-intake .camera").click()
    page.locator("#photo-intake .shutter").click()
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    picture, box = (page.locator(f".stage .{part}").bounding_box() for part in ("fit", "box"))
    middle = box["x"] + box["width"] / 2 - picture["x"]
    assert middle > picture["width"] * 0.6  # the portrait is left of the middle
    flip = page.locator(".stage .fit img").evaluate("(image) => getComputedStyle(image).transform")
    assert flip == "matrix(-1, 0, 0, 1, 0, 0)"
    (face,) = json.loads(save(page, "json")[1].read_text())["faces"]
    left, _, right, _ = face["box"]
    assert (left + right) / 2 < 260  # of 640
    page.locator("#photo-stage .again").click()
    upload(page, EXAMPLES / "one_face.jpg")
    expect(page.locator(".stage")).not_to_have_class(re.compile("mirrored"))


def test_ones_own_picture_is_shown_before_the_server_has_it_and_is_never_fetched(page):
    asked = []
    page.on("request", lambda request: asked.append(request))
    page.route("**/upload", lambda route: None)  # on its way
    page.set_input_files("#photo-intake input[type=file]", EXAMPLES / "one_face.jpg")
    expect(page.locator(".stage.reading .fit img")).to_be_visible()
    assert page.locator(".stage .fit img").evaluate("(image) => image.naturalWidth") == 512
    page.unroute("**/upload")
    upload(page, EXAMPLES / "one_face.jpg")
    expect(chosen(page)).to_have_text("1")
    assert page.locator(".stage .fit img").get_attribute("src").startswith("blob:")
    assert [one.url for one in asked if "/file=" in one.url] == []


def test_a_large_photo_is_sent_reduced_and_upright(page, tmp_path, astronaut):
    large = astronaut.resize((3000, 3000)).rotate(90)
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    large.save(tmp_path / "large.jpg", quality=95, exif=exif)
    with page.expect_request("**/upload") as sent:
        upload(page, tmp_path / "large.jpg")
    assert sent.value.sizes()["requestBodySize"] < (tmp_path / "large.jpg").stat().st_size / 3
    expect(page.locator("#summary")).to_contain_text("1 face: ")
    _, picture = save(page, "png")
    assert Image.open(picture).size == (1414, 1414)
    answer = json.loads(save(page, "json")[1].read_text())
    assert answer["size"] == [1414, 1414]
    assert answer["faces"][0]["box"][1] < 400  # above the middle


def test_an_example_works_at_a_click_and_again_after_another_picture(page):
    for _ in range(2):
        page.get_by_role("button", name="one face", exact=True).click()
        expect(page.locator("#summary")).to_contain_text("1 face: ")
        page.locator("#photo-stage .again").click()
        expect(page.locator("#photo-intake .file")).to_be_focused()


@pytest.mark.parametrize("size", [LAPTOP, PHONE], ids=["laptop", "phone"])
def test_nothing_jumps_whatever_is_done(open_page, size):
    page = open_page(script=ALL_SHIFTS)
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.reload()  # the window changes its size before the page is there
    page.get_by_role("button", name="one face", exact=True).wait_for()
    page.evaluate("shift = 0")
    upload(page, EXAMPLES / "five_faces.jpg")
    for face in (1, 3):
        page.locator(".ed-strip [role=radio]").nth(face).click()
        expect(page.locator(".looks figure.absent")).to_have_count(0)
    save(page, "json")
    page.locator("#photo-stage .again").click()
    page.get_by_role("button", name="no face", exact=True).click()
    page.locator(".whole").click()
    expect(chosen(page)).to_have_text("1")
    expect(page.locator(".looks figure.absent")).to_have_count(0)
    assert page.evaluate("shift") < MAX_SHIFT


def test_no_tab_is_wider_than_a_small_phone(page):
    page.set_viewport_size({"width": 360, "height": 800})
    upload(page, EXAMPLES / "one_face.jpg")
    expect(chosen(page)).to_have_text("1")
    for name in ("Live", "Video", "Batch", "About", "Photo"):
        page.get_by_role("tab", name=name, exact=True).click()
        assert page.evaluate("document.documentElement.scrollWidth") <= 360
