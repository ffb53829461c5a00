"""Video files as people have them: turned, cut, silent, odd, hostile."""

import os
import random
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


def times_of(path: Path, rate_hz: float) -> list[float]:
    return [round(time_s, 3) for time_s, _ in frames(path, rate_hz)]


def open_files(path: Path) -> int:
    links = [Path(f"/proc/self/fd/{name}") for name in os.listdir("/proc/self/fd")]
    return sum(link.exists() and link.resolve() == path.resolve() for link in links)


@pytest.fixture
def one_second(tmp_path) -> Path:
    return film(tmp_path / "film.mp4", numbered(25))


def test_frames_come_at_the_rate_asked_for(one_second):
    found = list(frames(one_second, rate_hz=5))
    assert [round(time_s, 2) for time_s, _ in found] == [0.0, 0.2, 0.4, 0.6, 0.8]
    assert [number(picture) for _, picture in found] == [0, 5, 10, 15, 20]
    assert {(picture.mode, picture.size) for _, picture in found} == {("RGB", (160, 120))}


def test_a_rate_above_the_files_gives_every_frame_once(one_second):
    assert [number(picture) for _, picture in frames(one_second, 30)] == list(range(25))


def test_stamps_rounded_to_milliseconds_lose_no_frame(tmp_path):
    path = film(tmp_path / "film.webm", numbered(25), rate_hz=30, codec="libvpx")
    assert len(times_of(path, 30)) == 25
    assert len(times_of(path, 15)) == 13


def test_a_rate_that_does_not_divide_the_files_keeps_its_pace(tmp_path):
    path = film(tmp_path / "film.mp4", numbered(25) * 4)
    assert len(times_of(path, 10)) == 40
    assert len(times_of(path, 3)) == 12


def test_a_variable_rate_is_sampled_by_time_not_by_count(tmp_path):
    times = [0, 0.01, 0.02, 0.03, 0.5, 1.0, 1.01, 3.0]
    path = film(tmp_path / "film.mp4", numbered(8), times)
    assert times_of(path, 2) == [0, 0.5, 1.0, 3.0]


def test_the_first_frame_is_at_zero_whatever_its_stamp(tmp_path):
    path = film(tmp_path / "film.webm", numbered(3), [7.0, 7.5, 8.0], codec="libvpx")
    assert times_of(path, 2) == [0, 0.5, 1.0]


@pytest.mark.parametrize(
    ("ending", "codec"),
    [("mkv", "libvpx"), ("webm", "libvpx"), ("asf", "libx264"), ("ts", "libx264")],
)
def test_a_file_that_starts_late_is_as_long_as_its_pictures(tmp_path, ending, codec):
    late = [100 + i / 25 for i in range(50)]
    path = film(tmp_path / f"film.{ending}", numbered(25) * 2, late, codec=codec)
    notices = []
    times = [time_s for time_s, _ in frames(path, 5, on_notice=notices.append)]
    assert times == pytest.approx([i / 5 for i in range(10)], abs=0.01)
    assert describe(path).duration_s == pytest.approx(2, abs=0.1)
    assert notices == []


def test_a_late_file_that_is_cut_is_still_said_to_be(tmp_path):
    late = [100 + i / 25 for i in range(75)]
    path = film(tmp_path / "film.mkv", noisy(75), late, codec="libvpx")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    notices = []
    assert len(list(frames(path, 5, on_notice=notices.append))) >= 3
    assert any("states a length of 3 seconds" in notice for notice in notices)


def test_a_phone_that_is_turned_while_it_records_stretches_nothing(tmp_path):
    wide, high = (Image.new("RGB", size, "navy") for size in ((320, 240), (240, 320)))
    for picture in (wide, high):
        width, height = picture.size
        picture.paste(
            "white", (width // 2 - 40, height // 2 - 40, width // 2 + 40, height // 2 + 40)
        )
    path = resized_midway(tmp_path / "film.webm", [wide] * 5, [high] * 5)
    shown = [np.asarray(picture.convert("L")) for _, picture in frames(path, 10)]
    assert len(shown) == 10
    assert {picture.shape for picture in shown} == {(240, 320)}
    for picture, side in zip(shown, [80] * 5 + [60] * 5, strict=True):
        is_white = picture > 150
        assert is_white.any(axis=0).sum() == pytest.approx(side, abs=3)
        assert is_white.any(axis=1).sum() == pytest.approx(side, abs=3)
    assert shown[-1][120, 20] < 8  # beside the higher picture
    assert 10 < shown[0][120, 20] < 60


@pytest.mark.parametrize("size", [(4000, 400), (160, 4000)])
def test_a_very_wide_or_high_film_keeps_its_detail(tmp_path, size):
    path = film(tmp_path / "film.mp4", [Image.new("RGB", size, "teal")])
    ((_, picture),) = frames(path, 5)
    pixels = picture.width * picture.height
    assert pixels <= 1.01 * MAX_PIXELS
    assert pixels == pytest.approx(min(size[0] * size[1], MAX_PIXELS), rel=0.01)


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
    path = turned(film(tmp_path / "film.mp4", [stored] * 5), matrix)
    _, picture = next(frames(path, 5))
    assert describe(path).size == picture.size == ((160, 120) if a else (120, 160))
    bright = np.argwhere(np.asarray(picture.convert("L")) > 128).mean(axis=0)[::-1]
    assert tuple(round(at / side) for at, side in zip(bright, picture.size, strict=True)) == corner


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(4, 3), 160), (Fraction(99), 120)])
def test_pixels_that_are_wider_than_high_are_shown_so(tmp_path, aspect, width):
    square = [Image.new("RGB", (120, 120))] * 5
    path = film(tmp_path / "film.mp4", square, pixel_aspect=aspect)
    _, picture = next(frames(path, 5))
    assert describe(path).size == picture.size == (width, 120)


def test_a_browsers_webm_that_states_no_length_is_read_whole(tmp_path):
    path = film(tmp_path / "film.webm", numbered(25), codec="libvpx", options={"live": "1"})
    notices = []
    assert describe(path).duration_s is None
    assert len(list(frames(path, 5, on_notice=notices.append))) == 5
    assert notices == []


def test_sound_is_no_hindrance_and_its_absence_neither(tmp_path, one_second):
    with_sound = film(tmp_path / "sound.mp4", numbered(25), sound=True)
    assert times_of(with_sound, 5) == times_of(one_second, 5)
    assert describe(one_second).duration_s == pytest.approx(1.0, abs=0.05)


def test_a_file_with_sound_only_says_so(tmp_path):
    with pytest.raises(
        ValueError, match=r"^The file has no picture, only sound at best; choose a video\.$"
    ):
        describe(sound_only(tmp_path / "voice.mp4"))


@pytest.mark.parametrize("content", [b"just a note\n" * 50, bytes(range(256)) * 40])
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path, content):
    path = tmp_path / "film.mp4"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=rf"^The file \({len(content)} bytes\) is no video"):
        list(frames(path, 5))


def test_an_empty_recording_is_told_from_a_broken_file(tmp_path):
    (tmp_path / "sample.webm").touch()
    with pytest.raises(ValueError, match=r"^The video is empty: record for a few seconds longer"):
        list(frames(tmp_path / "sample.webm", 5))


def test_a_missing_file_is_named():
    with pytest.raises(ValueError, match=r"There is no file 'nowhere\.mp4'"):
        describe("nowhere.mp4")


@pytest.mark.parametrize(
    "playlist",
    [
        "ffconcat version 1.0\nfile {secret}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\n{secret}\n#EXT-X-ENDLIST\n",
    ],
)
def test_a_playlist_cannot_have_another_file_read(tmp_path, one_second, playlist):
    for name in ("list.mp4", "list.m3u8", "list.ffconcat"):
        path = tmp_path / name
        path.write_text(playlist.format(secret=one_second.name))
        with pytest.raises(ValueError, match="is no video that can be read"):
            describe(path)


def test_a_name_that_looks_like_an_address_is_only_a_name(tmp_path, one_second, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("concat:film.mp4").write_bytes(one_second.read_bytes())
    assert len(times_of("concat:film.mp4", 5)) == 5


def test_a_webm_cut_in_the_middle_gives_what_is_left_and_a_notice(tmp_path):
    path = film(tmp_path / "film.webm", noisy(75), codec="libvpx")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    notices = []
    found = list(frames(path, 5, on_notice=notices.append))
    assert 3 <= len(found) <= 12
    assert any("cut short" in notice or "damaged" in notice for notice in notices)


def test_an_mp4_whose_index_is_cut_off_is_refused(one_second):
    data = one_second.read_bytes()
    one_second.write_bytes(data[: data.index(b"moov") - 4])
    with pytest.raises(ValueError, match="broken at its start"):
        describe(one_second)


def test_an_mp4_with_an_index_but_half_its_pictures_gives_those(tmp_path):
    path = film(tmp_path / "film.mp4", noisy(75), options={"movflags": "faststart"})
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    notices = []
    assert 3 <= len(list(frames(path, 5, on_notice=notices.append))) <= 12
    assert notices


def test_a_film_without_a_single_frame_says_so(one_second):
    one_second.write_bytes(without_frames(one_second.read_bytes()))
    for read in (describe, lambda path: list(frames(path, 5))):
        with pytest.raises(ValueError, match="has no picture that can be read"):
            read(one_second)


def test_a_header_that_states_an_hour_is_not_believed(one_second):
    lie_about_length(one_second)
    assert times_of(one_second, 5) == [0, 0.2, 0.4, 0.6, 0.8]


def test_an_8k_frame_is_reduced(tmp_path):
    path = film(tmp_path / "film.mp4", [Image.new("RGB", (7680, 4320), "teal")])
    assert describe(path).size == (7680, 4320)
    assert [picture.size for _, picture in frames(path, 5)] == [(1280, 720)]


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


def test_more_pixels_in_all_than_the_limit_end_the_reading(one_second, monkeypatch):
    monkeypatch.setattr(decoding, "MAX_DECODED_PIXELS", 10 * 160 * 120)
    notices = []
    assert len(list(frames(one_second, 25, on_notice=notices.append))) == 10
    assert notices == ["Only the first 0.4 seconds of the video were read."]


def test_a_file_that_takes_too_long_to_open_is_refused_before_it_is_opened(one_second, monkeypatch):
    monkeypatch.chdir(one_second.parent)
    decoding.refuse_bombs(one_second.name)  # wherever the program runs
    monkeypatch.setattr(decoding, "TRIAL_SECONDS", 0.001)
    with pytest.raises(ValueError, match=r"^The video takes more than 2 GB or 20 seconds"):
        decoding.refuse_bombs(one_second)


def test_a_long_film_is_read_to_the_limit_with_a_notice(one_second):
    notices = []
    found = [time_s for time_s, _ in frames(one_second, 5, 0.5, notices.append)]
    assert [round(time_s, 1) for time_s in found] == [0.0, 0.2, 0.4]
    assert notices == ["Only the first 0.5 seconds of the video were read."]


@pytest.mark.parametrize("rate_hz", [0, -1, 31, float("nan")])
def test_a_rate_out_of_range_is_refused(one_second, rate_hz):
    with pytest.raises(ValueError, match=r"The rate must be a number between 0\.1 and 30\.0"):
        list(frames(one_second, rate_hz))


def test_memory_does_not_grow_with_the_length(tmp_path):
    path = film(tmp_path / "film.mp4", numbered(25, (32, 32)) * 20)
    seen, most = [], 0
    for _, picture in frames(path, 25):
        seen.append(weakref.ref(picture))
        most = max(most, sum(one() is not None for one in seen))
    assert len(seen) == 500
    assert most <= 2


def test_leaving_early_closes_the_file(one_second):
    reading = frames(one_second, 5)
    next(reading)
    assert open_files(one_second) == 1
    reading.close()
    assert open_files(one_second) == 0


@pytest.mark.parametrize("ending,codec", [("mp4", "libx264"), ("webm", "libvpx")])
def test_damaged_files_give_frames_or_one_sentence(tmp_path, ending, codec):
    pictures = numbered(25, (64, 48))
    whole = film(tmp_path / f"film.{ending}", pictures, codec=codec).read_bytes()
    path, dice = tmp_path / f"damaged.{ending}", random.Random(0)
    outcomes = set()
    for _ in range(60):
        data = bytearray(whole[: dice.choice([len(whole), dice.randrange(len(whole))])])
        for _ in range(dice.choice([0, 3, 30])):
            data[dice.randrange(len(data))] ^= 1 << dice.randrange(8)
        path.write_bytes(data)
        try:
            found = [time_s for time_s, _ in frames(path, 5)]
            assert found == sorted(found)
            outcomes.add("frames")
        except ValueError as error:
            assert str(error).endswith((".", "read.")) and "\n" not in str(error)
            outcomes.add("sentence")
    assert outcomes == {"frames", "sentence"}
