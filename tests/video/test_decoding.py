"""Video files as people have them: turned, cut, silent, odd, hostile."""

import os
import weakref
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from emotion_detective.video import decoding
from emotion_detective.video.decoding import describe, frames
from emotion_detective.video.upright import MAX_PIXELS
from tests.films import (
    film,
    lie_about_length,
    noisy,
    number,
    numbered,
    resized_midway,
    sound_only,
    turned,
    without_frames,
)

LATE = [100 + i / 25 for i in range(50)]


def read(path: Path, rate_hz: float = 5, **options) -> tuple[list[float], list[str]]:
    """Return the times of a film's frames, and the notices about it."""
    notices = []
    found = frames(path, rate_hz, on_notice=notices.append, **options)
    return [round(time_s, 3) for time_s, _ in found], notices


def open_files(path: Path) -> int:
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return sum(link.exists() and link.resolve() == path.resolve() for link in links)


@pytest.fixture(scope="module")
def one_second(tmp_path_factory) -> Path:
    """25 numbered frames in a second, without sound."""
    return film(tmp_path_factory.mktemp("films") / "film.mp4", numbered(25))


@pytest.fixture(scope="module")
def noise(tmp_path_factory) -> Path:
    """A webm of three seconds whose bytes lie evenly over its length; it starts late."""
    path = tmp_path_factory.mktemp("films") / "noise.webm"
    return film(path, noisy(75), [100 + i / 25 for i in range(75)], codec="libvpx")


@pytest.fixture
def copy(one_second, tmp_path) -> Path:
    """A copy of `one_second` that a test may spoil."""
    path = tmp_path / "copy.mp4"
    path.write_bytes(one_second.read_bytes())
    return path


def test_frames_come_at_the_rate_asked_for(one_second):
    found = list(frames(one_second, rate_hz=5))
    assert [round(time_s, 2) for time_s, _ in found] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert [number(picture) for _, picture in found] == [0, 5, 10, 15, 20]
    assert {(picture.mode, picture.size) for _, picture in found} == {("RGB", (160, 120))}
    assert [number(picture) for _, picture in frames(one_second, 30)] == list(range(25))
    assert describe(one_second).duration_s == pytest.approx(1.0, abs=0.05)


def test_stamps_rounded_to_milliseconds_lose_no_frame(tmp_path):
    path = film(tmp_path / "film.mkv", numbered(25), rate_hz=30)
    assert [len(read(path, rate_hz)[0]) for rate_hz in (30, 15, 7)] == [25, 13, 6]


def test_a_variable_rate_is_sampled_by_time_not_by_count(tmp_path):
    times = [0, 0.01, 0.02, 0.03, 0.5, 1.0, 1.01, 3.0]
    path = film(tmp_path / "film.mp4", numbered(8), times)
    assert read(path, 2)[0] == [0, 0.5, 1.0, 3.0]


@pytest.mark.parametrize(
    ("ending", "codec"), [("webm", "libvpx"), ("asf", "libx264"), ("ts", "libx264")]
)
def test_a_file_that_starts_late_is_as_long_as_its_pictures(tmp_path, ending, codec):
    path = film(tmp_path / f"film.{ending}", numbered(25) * 2, LATE, codec=codec)
    times, notices = read(path)
    assert times == pytest.approx([i / 5 for i in range(10)], abs=0.01)
    assert describe(path).duration_s == pytest.approx(2, abs=0.1)
    assert notices == []


def test_times_count_from_the_sound_where_it_begins_first_as_players_do(tmp_path):
    path = film(tmp_path / "film.mp4", numbered(20), [2 + i / 10 for i in range(20)], sound=True)
    times, notices = read(path)
    assert times == pytest.approx([2 + i / 5 for i in range(10)], abs=0.01)
    assert describe(path).duration_s == pytest.approx(4, abs=0.1)
    assert notices == []


@pytest.mark.parametrize("ending", ["gif", "webp", "png"])
def test_an_animation_is_a_film(tmp_path, ending):
    first, *others = numbered(4)
    path = tmp_path / f"film.{ending}"
    steps_ms = [100, 200, 300, 100]
    first.save(path, save_all=True, append_images=others, duration=steps_ms, lossless=True)
    found = list(frames(path, 30))
    assert [round(time_s, 2) for time_s, _ in found] == [0, 0.1, 0.3, 0.6]
    assert [number(picture) for _, picture in found] == [0, 1, 2, 3]


def test_a_phone_that_is_turned_while_it_records_stretches_nothing(tmp_path):
    wide, high = (Image.new("RGB", size, "navy") for size in ((320, 240), (240, 320)))
    for picture in (wide, high):
        width, height = picture.size
        picture.paste(
            "white", (width // 2 - 40, height // 2 - 40, width // 2 + 40, height // 2 + 40)
        )
    path = resized_midway(tmp_path / "film.webm", [wide] * 2, [high] * 2)
    shown = [np.asarray(picture.convert("L")) for _, picture in frames(path, 10)]
    assert [picture.shape for picture in shown] == [(240, 320)] * 4
    for picture, side in zip(shown, (80, 80, 60, 60), strict=True):
        is_white = picture > 150
        assert is_white.any(axis=0).sum() == pytest.approx(side, abs=3)
        assert is_white.any(axis=1).sum() == pytest.approx(side, abs=3)
    assert shown[-1][120, 20] < 8  # beside the higher picture
    assert 10 < shown[0][120, 20] < 60


@pytest.mark.parametrize("size", [(4000, 400), (160, 4000)])
def test_a_very_wide_or_high_film_keeps_its_detail(tmp_path, size):
    path = film(tmp_path / "film.mp4", [Image.new("RGB", size, "teal")])
    ((_, picture),) = frames(path, 5)
    pixels = min(size[0] * size[1], MAX_PIXELS)
    assert picture.width * picture.height == pytest.approx(pixels, rel=0.01)
    assert describe(path).size == size


@pytest.mark.parametrize(
    ("a", "b", "c", "d", "corner"),
    [
        (1, 0, 0, 1, (0, 0)),
        (0, 1, -1, 0, (1, 0)),  # a phone held upright
        (-1, 0, 0, -1, (1, 1)),
        (0, -1, 1, 0, (0, 1)),
        (-1, 0, 0, 1, (1, 0)),
        (1, 0, 0, -1, (0, 1)),
        (0, 1, 1, 0, (0, 0)),
        (0, -1, -1, 0, (1, 1)),
    ],
)
def test_a_film_is_turned_and_mirrored_as_its_header_says(tmp_path, a, b, c, d, corner):
    """`corner` is where the white upper left corner of the stored picture is shown."""
    stored = Image.new("RGB", (160, 120), "black")
    stored.paste("white", (0, 0, 40, 40))
    matrix = [one << 16 for one in (a, b, 0, c, d, 0, 0, 0)] + [1 << 30]
    path = turned(film(tmp_path / "film.mp4", [stored]), matrix)
    _, picture = next(frames(path, 5))
    assert describe(path).size == picture.size == ((160, 120) if a else (120, 160))
    bright = np.argwhere(np.asarray(picture.convert("L")) > 128).mean(axis=0)[::-1]
    assert tuple(round(at / side) for at, side in zip(bright, picture.size, strict=True)) == corner


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(4, 3), 160), (Fraction(99), 120)])
def test_pixels_that_are_wider_than_high_are_shown_so(tmp_path, aspect, width):
    path = film(tmp_path / "film.mp4", [Image.new("RGB", (120, 120))], pixel_aspect=aspect)
    _, picture = next(frames(path, 5))
    assert describe(path).size == picture.size == (width, 120)


def test_a_browsers_webm_that_states_no_length_is_read_whole(tmp_path):
    path = film(tmp_path / "film.webm", numbered(25), codec="libvpx", options={"live": "1"})
    assert describe(path).duration_s is None
    times, notices = read(path)
    assert (len(times), notices) == (5, [])


def test_sound_is_no_hindrance_but_no_film_by_itself(tmp_path, one_second):
    with_sound = film(tmp_path / "sound.mp4", numbered(25), sound=True)
    assert read(with_sound) == read(one_second)
    with pytest.raises(ValueError, match=r"^The file has no picture, only sound at best; choose"):
        describe(sound_only(tmp_path / "voice.mp4"))


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (b"just a note\n" * 50, r"^The file \(600 bytes\) is no video"),
        (bytes(range(256)) * 40, r"^The file \(10240 bytes\) is no video"),
        (b"", r"^The video is empty: record for a few seconds longer"),
        (None, r"There is no file '.*film\.mp4'; check the path"),
    ],
)
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, content, sentence):
    path = tmp_path / "film.mp4"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        read(path)


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile {secret}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_playlist_cannot_have_another_file_read(copy, playlist):
    for name in ("list.mp4", "list.m3u8", "list.ffconcat"):
        path = copy.with_name(name)
        path.write_text(playlist.format(secret=copy.name))
        with pytest.raises(ValueError, match="is no video that can be read"):
            describe(path)


def test_a_name_that_looks_like_an_address_is_only_a_name(copy, monkeypatch):
    monkeypatch.chdir(copy.parent)
    copy.rename("concat:film.mp4")
    assert len(read("concat:film.mp4")[0]) == 5


@pytest.mark.parametrize("part", [2, 3])
def test_a_webm_cut_in_the_middle_gives_what_is_left_and_a_notice(noise, tmp_path, part):
    path = tmp_path / "cut.webm"
    path.write_bytes(noise.read_bytes()[: noise.stat().st_size // part])
    times, notices = read(path)
    assert 3 <= len(times) <= 12
    assert any("states a length of 3 seconds" in notice for notice in notices)


def test_an_mp4_that_is_cut_gives_what_it_has_an_index_of(copy, tmp_path):
    data = copy.read_bytes()
    copy.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(ValueError, match="broken at its start"):
        describe(copy)
    path = film(tmp_path / "film.mp4", noisy(75), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    times, notices = read(path)
    assert 3 <= len(times) <= 12
    assert notices


def test_a_film_without_a_single_frame_says_so(copy):
    copy.write_bytes(without_frames(copy.read_bytes()))
    for ask in (describe, read):
        with pytest.raises(ValueError, match="has no picture that can be read"):
            ask(copy)


def test_a_header_that_states_an_hour_is_not_believed(copy):
    assert read(lie_about_length(copy))[0] == [0, 0.2, 0.4, 0.6, 0.8]


@pytest.mark.parametrize(
    ("limit", "value", "sentence"),
    [
        ("MAX_FRAME_PIXELS", 10_000, "160 x 120 pixels; the limit is 0 million"),
        ("MAX_FILE_BYTES", 1000, "cut it or save it smaller"),
    ],
)
def test_more_than_the_limit_is_refused(one_second, monkeypatch, limit, value, sentence):
    monkeypatch.setattr(decoding, limit, value)
    with pytest.raises(ValueError, match=sentence):
        describe(one_second)


def test_a_long_film_is_read_to_the_limit_with_a_notice(one_second, monkeypatch):
    times, notices = read(one_second, max_seconds=0.5)
    assert times == [0.0, 0.2, 0.4]
    assert notices == ["Only the first 0.5 seconds of the video were read."]
    monkeypatch.setattr(decoding, "MAX_DECODED_PIXELS", 10 * 160 * 120)
    times, notices = read(one_second, 25)
    assert len(times) == 10
    assert notices == ["Only the first 0.4 seconds of the video were read."]


def test_a_file_that_takes_too_long_to_open_is_refused_before_it_is_opened(one_second, monkeypatch):
    monkeypatch.chdir(one_second.parent)
    decoding.refuse_bombs(one_second.name)  # wherever the program runs
    monkeypatch.setattr(decoding, "TRIAL_SECONDS", 0.001)
    with pytest.raises(ValueError, match=r"^The video takes more than 2 GB or 20 seconds"):
        decoding.refuse_bombs(one_second)


@pytest.mark.parametrize("rate_hz", [0, -1, 31, float("nan"), "5"])
def test_a_rate_out_of_range_is_refused(one_second, rate_hz):
    with pytest.raises(ValueError, match=rf"between 0\.1 and 30\.0 .*, not {rate_hz}\.$"):
        read(one_second, rate_hz)


def test_memory_does_not_grow_with_the_length_and_leaving_closes_the_file(one_second):
    seen, most = [], 0
    reading = frames(one_second, 25)
    for _, picture in reading:
        seen.append(weakref.ref(picture))
        most = max(most, sum(one() is not None for one in seen))
        if len(seen) == 20:
            break
    assert most <= 2
    assert open_files(one_second) == 1
    reading.close()
    assert open_files(one_second) == 0
