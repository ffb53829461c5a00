"""The Video tab in a browser: one player, and all that follows its time or moves it."""

import sys
from pathlib import Path

import pytest
from PIL import Image
from running import MAX_SHIFT, TIMEOUT_MS
from test_tabs import download

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from films import film

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)
SIZE, STEPS, RATE_HZ = (640, 360), 16, 5
NOW = "document.querySelector('.film video').currentTime"
LENGTH = "document.querySelector('.film video').duration"


@pytest.fixture(scope="module")
def pictures(astronaut) -> list[Image.Image]:
    """Three seconds of two faces, of which the larger one moves to the right."""
    head = astronaut.crop((96, 0, 376, 280))
    pictures = []
    for step in range(STEPS):
        picture = Image.new("RGB", SIZE, (60, 70, 90))
        picture.paste(head, (10 + 5 * step, 60))
        picture.paste(head.resize((180, 180)), (440, 90))
        pictures.append(picture)
    return pictures


@pytest.fixture(scope="module")
def two_faces(tmp_path_factory, pictures) -> Path:
    return film(tmp_path_factory.mktemp("films") / "two.mp4", pictures, rate_hz=RATE_HZ)


@pytest.fixture(scope="module")
def watching(visitor, two_faces):
    """A laptop's page on which the film has been followed; tests of this file share it."""
    page = visitor("Video", 1366, 768)
    page.evaluate("shift = 0")
    page.route("**/file=**two.mp4", lambda route: route.abort())  # one's own is never fetched back
    page.set_input_files("#video-intake input[type=file]", two_faces)  # nothing else is pressed
    expect(page.locator(".film .faces label")).to_have_count(2)
    page.wait_for_function("document.querySelector('.film video').readyState >= 2")
    return page


def press_chart(page, share: float) -> None:
    plot = page.locator(".film .plot")
    plot.scroll_into_view_if_needed()
    plot.click(position={"x": share * plot.bounding_box()["width"], "y": 50})


def cursor_share(page) -> float:
    """Where the cursor stands on the chart, from 0 to 1."""
    return page.evaluate(
        """() => {
            const [cursor, plot] = [".cursor", ".plot"].map((name) =>
                document.querySelector(".film " + name).getBoundingClientRect());
            return (cursor.left - plot.left) / plot.width;
        }"""
    )


def test_a_video_is_analysed_by_itself_in_one_player_and_nothing_jumps(watching):
    expect(watching.locator("#video-status")).to_contain_text("2 faces in 3.0 seconds.")
    expect(watching.locator("video:visible")).to_have_count(1)
    assert watching.evaluate("shift") < MAX_SHIFT
    expect(watching.locator("#video-stop")).to_be_hidden()
    expect(watching.locator(".film .moments button").first).to_be_visible()


def test_player_words_and_faces_are_in_view_at_once_on_a_laptop(watching):
    watching.evaluate("scrollTo(0, 0)")
    watching.set_viewport_size({"width": 1366, "height": 640})
    for part in ("#video-status", ".film .controls", ".film .faces label", ".film .now"):
        expect(watching.locator(part).first).to_be_in_viewport(ratio=1)
    expect(watching.locator(".film .lines")).to_be_in_viewport(ratio=1)
    watching.set_viewport_size({"width": 1366, "height": 768})


def test_boxes_are_drawn_where_the_faces_are(watching):
    press_chart(watching, 0.5)
    expect(watching.locator(".film .box")).to_have_count(2)
    frame = watching.locator(".film .frame").bounding_box()
    box = watching.locator(".film .box[data-track='1']").bounding_box()
    middle = (box["x"] + box["width"] / 2 - frame["x"]) / frame["width"]
    assert middle == pytest.approx((10 + 40 + 128) / SIZE[0], abs=0.06)
    letters = watching.locator(".film .box span").first
    assert letters.evaluate("(one) => parseFloat(getComputedStyle(one).fontSize)") >= 12


def test_the_chart_says_what_is_under_the_pointer_and_obeys_keys(watching):
    press_chart(watching, 0.5)
    now = watching.locator(".film .now .ed-bars b").all_inner_texts()
    assert sum(int(share.rstrip("%+")) for share in now) == 100
    expect(watching.locator(".film .readout")).to_contain_text(max(now, key=lambda p: int(p[:-1])))
    before = watching.evaluate(NOW)
    watching.locator(".film .plot").press("ArrowRight")
    assert 0 < watching.evaluate(NOW) - before < 0.5
    watching.locator(".film .plot").press("Home")
    assert watching.evaluate(NOW) == 0


def test_a_press_on_the_chart_goes_there(watching):
    for share in (0.75, 0.25):
        press_chart(watching, share)
        assert watching.evaluate(f"{NOW} / {LENGTH}") == pytest.approx(share, abs=0.02)
        assert cursor_share(watching) == pytest.approx(share, abs=0.02)


def test_the_cursor_and_the_bars_follow_the_video_as_it_plays(watching):
    press_chart(watching, 0.1)
    watching.evaluate("document.querySelector('.film video').loop = true")  # never at its end
    play, title = watching.locator(".film .play"), watching.locator(".film .now h3")
    before = title.text_content()
    watching.evaluate("shift = 0")  # windows of other sizes were here
    play.click()
    expect(title).not_to_have_text(before)
    play.click()
    expect(play).to_have_attribute("aria-label", "Play")
    assert cursor_share(watching) == pytest.approx(watching.evaluate(f"{NOW} / {LENGTH}"), abs=0.03)
    assert watching.evaluate("shift") < MAX_SHIFT


def test_a_key_moment_goes_there_and_chooses_its_face(watching):
    press_chart(watching, 0.9)
    moments = watching.locator(".film .moments button")
    for number in range(moments.count()):
        moment = moments.nth(number)
        said = moment.text_content()
        moment.click()
        track = said.removeprefix("Face ").split()[0]
        minutes, seconds = said.rpartition("at ")[2].split(":")
        words = said.removeprefix(f"Face {track} ").partition(",")[0]
        if "unsure" not in words:  # as the player says it
            label, percent = words.split()
            row = watching.locator(".film .now li", has_text=label)
            expect(row.locator("b")).to_have_text(percent)
        assert int(watching.evaluate(NOW)) == 60 * int(minutes) + int(seconds)
        expect(watching.locator(".film .lines h3")).to_contain_text(f"Face {track} ")


def test_a_thumbnail_an_arrow_key_or_a_box_chooses_the_face(watching):
    title = watching.locator(".film .lines h3")
    watching.locator(".film .faces label", has_text="Face 2").click()
    expect(title).to_contain_text("Face 2 ")
    other_lines = watching.locator(".film .plot path").first.get_attribute("d")
    watching.keyboard.press("ArrowUp")
    expect(title).to_contain_text("Face 1 ")
    assert watching.locator(".film .plot path").first.get_attribute("d") != other_lines
    press_chart(watching, 0.5)
    watching.locator(".film .box[data-track='2']").click()
    expect(
        watching.locator(".film .faces label", has_text="Face 2").locator("input")
    ).to_be_checked()
    portraits = watching.locator(".film .faces img")
    assert portraits.evaluate_all("(all) => all.every((one) => one.naturalWidth > 40)")


def test_the_table_and_a_copy_with_the_boxes_can_be_taken_away(watching):
    rows = download(watching, "#video-csv")
    assert len(rows) >= 20
    assert list(rows[0])[:5] == ["time_s", "track", "box", "label", "confidence"]
    watching.locator("#video-copy").click()
    with watching.expect_download() as waiting:
        watching.locator("#video-copied").click()
    assert b"avc1" in Path(waiting.value.path()).read_bytes()


def test_a_phone_shows_all_without_scrolling_sideways(visitor, two_faces):
    page = visitor("Video", 390, 844)
    page.evaluate("shift = 0")
    page.set_input_files("#video-intake input[type=file]", two_faces)
    expect(page.locator(".film .faces label")).to_have_count(2)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    expect(page.locator("#video-status")).to_be_in_viewport(ratio=1)
    expect(page.locator(".film .faces label").first).to_be_in_viewport()
    assert page.evaluate("shift") < MAX_SHIFT
    page.locator(".film .moments button").first.click()  # far below: the player comes into view
    expect(page.locator(".film .stage")).to_be_in_viewport(ratio=0.9)
    page.goto("about:blank")  # each visitor holds one of the six connections of a browser


@pytest.mark.parametrize("has_h264", [True, False])
def test_a_video_that_no_browser_plays_is_shown_as_a_copy(visitor, pictures, tmp_path, has_h264):
    page = visitor("Video", 1366, 768)
    odd = film(tmp_path / "odd.mp4", pictures, rate_hz=RATE_HZ, codec="mpeg4")
    if not has_h264:
        page.evaluate("HTMLMediaElement.prototype.canPlayType = () => ''")
    page.set_input_files("#video-intake input[type=file]", odd)
    expect(page.locator("#video-copied")).to_be_visible()
    page.wait_for_function("document.querySelector('.film video').videoWidth > 0")
    expect(page.locator(".film .box")).to_have_count(0)  # they are in its pictures
    address = page.locator(".film video").get_attribute("src")
    assert address.endswith(".mp4" if has_h264 else ".webm")
    page.goto("about:blank")  # each visitor holds one of the six connections of a browser


def test_a_file_that_is_no_video_gets_a_sentence(visitor, tmp_path):
    page = visitor("Video", 1366, 768)
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"not a video")
    page.set_input_files("#video-intake input[type=file]", broken)
    expect(page.locator("#video-status")).to_contain_text("no video that can be read")
    expect(page.locator("#video-intake .file")).to_be_visible()
    expect(page.locator(".film")).to_have_count(0)


def test_pictures_after_the_sound_and_animations_are_where_the_player_has_them(
    visitor, astronaut, tmp_path
):
    page = visitor("Video", 1366, 768)
    faces = [astronaut.resize((320, 320))] * 8
    late = film(tmp_path / "late.mp4", faces, [1 + i / 5 for i in range(8)], sound=True)
    page.set_input_files("#video-intake input[type=file]", late)
    expect(page.locator(".film.ready .faces label")).to_have_count(1)
    expect(page.locator(".film .box")).to_have_count(0)
    press_chart(page, 0.9)
    expect(page.locator(".film .box")).to_have_count(1)
    page.locator("#video-new").click()
    moves = tmp_path / "moves.webp"
    faces[0].save(moves, save_all=True, append_images=[faces[1].rotate(1)] * 4, duration=200)
    page.set_input_files("#video-intake input[type=file]", moves)
    page.wait_for_function("document.querySelector('.film video')?.videoWidth > 0")
    expect(page.locator("#video-copied")).to_be_visible()
    page.goto("about:blank")  # each visitor holds one of the six connections of a browser


def test_a_film_without_a_face_promises_none(visitor, tmp_path):
    page = visitor("Video", 1366, 768)
    empty = film(tmp_path / "empty.mp4", [Image.new("RGB", (64, 48))] * 4)
    page.set_input_files("#video-intake input[type=file]", empty)
    expect(page.locator(".film .coming")).to_have_text("No face was found.")
    page.goto("about:blank")  # each visitor holds one of the six connections of a browser


def test_the_example_is_analysed_when_it_is_pressed(visitor):
    page = visitor("Video", 1366, 768)
    for _ in range(2):  # the second one begins as the first
        page.locator("#video-intake .cards button").first.click()
        expect(page.locator(".film .faces label").first).to_be_visible()
        page.locator("#video-new").click()
