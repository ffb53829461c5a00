"""Work stops when nobody waits for it any more, and who must wait for others is told so.

One server for all: it takes `STEP_S` for a picture and writes a byte into a file for each, so that
work that goes on shows.
"""

import re
import sys
import time
import zipfile
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from gradio_client import handle_file
from PIL import Image
from running import TIMEOUT_MS, connected, running_app
from test_tabs import download, open_tab

from emotion_detective.page.batch_files import MAX_FILES

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from films import film

expect = pytest.importorskip("playwright.sync_api").expect
expect.set_options(timeout=TIMEOUT_MS)

# A whole film or batch would take FRAMES * STEP_S: longer than any test waits.
STEP_S, FRAMES = 0.1, 2000
# What is under way ends, and a browser's farewell arrives.
GRACE_S, STILL_S = 20.0, 1.0
SLOWLY = """
import time
from emotion_detective.video import follow
from emotion_detective.core.detective import ServedDetective
from emotion_detective.page import seats
from pathlib import Path
left_s = seats.Session.left_s.fget
seats.Session.left_s = property(lambda self: 0 if Path({over!r}).exists() else left_s(self))
look = ServedDetective.analyze
def slowly(*arguments, **options):
    with open({counter!r}, "ab") as counter:
        counter.write(b".")
    time.sleep({step})
    return look(*arguments, **options)
ServedDetective.analyze = slowly
annotate = follow.annotate
def drawn_slowly(*arguments):
    for time_s in annotate(*arguments):
        time.sleep({step})
        yield time_s
follow.annotate = drawn_slowly
"""
# A distant server's messages: its answer to Stop overtakes the progress told before it.
LATE = """
    const fetchAtOnce = window.fetch;
    const late = () => new TransformStream({
        transform: (chunk, stream) => new Promise((told) => setTimeout(() => {
            stream.enqueue(chunk);
            told();
        }, 300)),
    });
    window.fetch = async (request, options) => {
        const response = await fetchAtOnce(request, options);
        const address = request.url ?? String(request);
        if (!address.includes("/queue/data")) return response;
        return new Response(response.body.pipeThrough(late()), response);
    };
"""

Work = Callable[[], int]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("slow")


@pytest.fixture(scope="module")
def work(folder) -> Work:
    """How many pictures the server has begun so far."""
    counter = folder / "counter"
    counter.touch()
    return lambda: counter.stat().st_size


@pytest.fixture(scope="module")
def server(folder, work, tiny_checkpoint) -> Iterator[str]:
    paths = {"counter": str(folder / "counter"), "over": str(folder / "over")}
    slowly = SLOWLY.format(**paths, step=STEP_S)
    with running_app(folder, tiny_checkpoint, before=slowly) as url:
        yield url


@pytest.fixture(scope="module")
def long_film(folder) -> Path:
    """A film of many frames without a face."""
    return film(folder / "long.mp4", [Image.new("RGB", (64, 48))] * FRAMES, rate_hz=5)


@pytest.fixture(scope="module")
def many_pictures(folder) -> Path:
    """A zip with as many pictures as a batch may have."""
    file = BytesIO()
    Image.new("RGB", (32, 32)).save(file, "PNG")
    path = folder / "many.zip"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(MAX_FILES):
            archive.writestr(f"{number}.png", file.getvalue())
    return path


def wait_until_under_way(work: Work, before: int) -> None:
    deadline = time.monotonic() + TIMEOUT_MS / 1000
    while work() < before + 3:
        assert time.monotonic() < deadline, "the work never began"
        time.sleep(0.1)


def expect_stopped(status) -> None:
    """The status says so to those who see it: Gradio leaves a hidden "Error" beside it at times."""
    expect(status).to_have_text(re.compile(r"^Stopped\."), use_inner_text=True)
    expect(status.locator("progress")).to_have_count(0)


def assert_stops(work: Work) -> None:
    deadline = time.monotonic() + GRACE_S
    while time.monotonic() < deadline:
        done = work()
        time.sleep(STILL_S)
        if work() == done:
            return
    pytest.fail(f"still at work {GRACE_S} s after the last one who waited had left")


def start_video(page, long_film: Path) -> None:
    open_tab(page, "Video")
    page.set_input_files("#video-intake input[type=file]", long_film)


def start_batch(page, many_pictures: Path) -> None:
    open_tab(page, "Batch")
    page.set_input_files("#batch-intake input[type=file]", many_pictures)


def start_live(page) -> None:
    open_tab(page, "Live")
    page.get_by_role("button", name="Start camera").click()


@pytest.mark.parametrize("endpoint", ["/analyze_video", "/analyze_batch"])
def test_work_stops_when_an_api_client_cancels(server, work, long_film, many_pictures, endpoint):
    files = {
        "/analyze_video": [handle_file(long_film), 5],
        "/analyze_batch": [[handle_file(many_pictures)]],
    }
    before = work()
    job = connected(server).submit(*files[endpoint], api_name=endpoint)
    wait_until_under_way(work, before)
    job.cancel()
    assert_stops(work)


def test_work_stops_when_an_api_client_hangs_up(server, work, long_film):
    before = work()
    with httpx.Client(base_url=f"{server}/gradio_api", timeout=TIMEOUT_MS / 1000) as client:
        with long_film.open("rb") as file:
            (path,) = client.post("/upload", files={"files": file}).json()
        upload = {"path": path, "meta": {"_type": "gradio.FileData"}}
        asked = client.post("/call/analyze_video", json={"data": [upload, 5]}).json()
        with client.stream("GET", f"/call/analyze_video/{asked['event_id']}") as answer:
            lines = answer.iter_lines()  # hangs up when it is forgotten
            event = next(line for line in lines if re.match("event: (?!heartbeat)", line))
            assert event == "event: generating"
            wait_until_under_way(work, before)
    assert_stops(work)


@pytest.mark.parametrize("tab", ["Video", "Batch", "Live"])
def test_work_stops_when_the_browser_is_closed(page, work, long_film, many_pictures, tab):
    before = work()
    if tab == "Video":
        start_video(page, long_film)
    elif tab == "Batch":
        start_batch(page, many_pictures)
    else:
        start_live(page)
    wait_until_under_way(work, before)
    page.close()
    assert_stops(work)


def test_stop_ends_a_video_and_it_can_be_begun_again(open_page, work, long_film):
    before = work()
    page = open_page(script=LATE)
    start_video(page, long_film)
    expect(page.locator("#video-status progress")).to_be_visible()
    wait_until_under_way(work, before)
    page.locator("#video-stop").click()
    expect_stopped(page.locator("#video-status"))
    assert_stops(work)
    expect_stopped(page.locator("#video-status"))
    before = work()
    page.locator("#video-again").click()
    wait_until_under_way(work, before)
    page.locator("#video-stop").click()
    assert_stops(work)


def test_a_copy_that_is_stopped_leaves_what_was_found(page, folder, astronaut):
    path = film(folder / "face.mp4", [astronaut.resize((320, 320))] * 60, rate_hz=10)
    start_video(page, path)
    page.locator("#video-copy").click()
    status = page.locator("#video-copy-status")
    expect(status).to_contain_text("Drawing the faces into a copy")
    page.locator("#video-copy-stop").click()
    expect(status).to_have_text("No copy with the faces was made.", use_inner_text=True)
    expect(page.locator("#video-status")).to_contain_text("1 face in ")
    expect(page.locator(".film .faces label")).to_have_count(1)
    expect(page.locator("#video-copy")).to_be_visible()


def test_a_new_video_ends_the_work_on_the_last_one(page, work, long_film):
    before = work()
    start_video(page, long_film)
    wait_until_under_way(work, before)
    page.locator("#video-new").click()
    expect(page.locator("#video-intake input[type=file]")).to_be_attached()
    assert_stops(work)
    expect(page.locator("#video-status")).to_contain_text("the analysis begins by itself")


def test_stop_ends_a_batch_and_it_can_be_begun_again(page, work, many_pictures):
    before = work()
    start_batch(page, many_pictures)
    wait_until_under_way(work, before)
    page.locator("#batch-stop").click()
    expect_stopped(page.locator("#batch-status"))
    assert_stops(work)
    expect_stopped(page.locator("#batch-status"))
    expect(page.locator("#batch-status")).to_contain_text("more were left out")
    expect(page.locator(".batch .cards article").first).to_be_visible()  # what has been read
    before = work()
    page.locator("#batch-again").click()
    wait_until_under_way(work, before)
    page.locator("#batch-new").click()
    page.locator("#batch-intake .cards button").first.click()
    expect(page.locator(".batch.ready.whole")).to_be_visible()


@pytest.mark.slow
def test_a_second_video_is_told_to_wait_and_can_be_stopped(open_page, work, long_film):
    before = work()
    page, other_page = open_page(), open_page()
    start_video(page, long_film)
    wait_until_under_way(work, before)
    start_video(other_page, long_film)
    status = other_page.locator("#video-status")
    expect(status).to_contain_text("Waiting: one video is read at a time")
    other_page.locator("#video-stop").click()
    expect_stopped(status)
    other_page.locator("#video-again").click()
    page.locator("#video-stop").click()
    expect(status).to_contain_text("seconds of video read")
    other_page.locator("#video-stop").click()
    assert_stops(work)


@pytest.mark.slow
def test_a_third_visitor_is_told_the_place_in_line_and_starts_when_one_leaves(open_page, work):
    pages = [open_page(), open_page(), open_page()]
    for page in pages:
        start_live(page)
        told = page.locator(".live-status, .live-boxes button")
        told.filter(has_text=re.compile("next|1 ")).wait_for()
    *live, waiting = pages
    status = waiting.locator(".live-status")
    expect(status).to_contain_text("You are next: your turn comes in ")
    live[0].close()
    expect(waiting.locator(".live-boxes button").first).to_contain_text("1 ")
    expect(status).to_have_text("")


@pytest.mark.slow
def test_a_live_session_ends_in_time_says_so_and_another_can_be_had(page, work, folder):
    start_live(page)
    box = page.locator(".live-boxes button").first
    expect(box).to_contain_text("1 ")
    expect(page.locator(".live-more")).to_be_visible()
    (folder / "over").touch()  # this server's clock
    expect(page.locator(".live-status")).to_contain_text("minutes are over.")
    assert_stops(work)
    (folder / "over").unlink()
    assert float(download(page, ".live-csv")[-1]["time_s"]) > 0
    page.get_by_role("button", name="Start camera").click()
    expect(box).to_contain_text("1 ")
