"""Who may be live at the same time, for how long, and who begins anew."""

import base64
from types import SimpleNamespace

import gradio as gr
import pytest
from PIL import Image

from emotion_detective.page import live_tab
from emotion_detective.video import drawing


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that stands until it is set: `clock.now_s = 5`."""
    clock = SimpleNamespace(now_s=100.0, monotonic=lambda: clock.now_s)
    monkeypatch.setattr(live_tab, "time", clock)
    return clock


def test_one_more_than_the_limit_waits_until_someone_leaves(clock):
    seats = live_tab.Seats()
    assert [seats.take(who) for who in "abc"] == [0, 0, None]
    seats.leave("a")
    assert seats.take("c") == 0
    assert seats.take("a") is None


def test_who_falls_silent_gives_up_the_seat(clock):
    seats = live_tab.Seats()
    seats.take("a"), seats.take("b")
    clock.now_s += live_tab.SILENT_S - 1
    assert seats.take("b") == live_tab.SILENT_S - 1
    clock.now_s += 2
    assert seats.take("c") == 0


def test_who_stays_too_long_learns_it_and_keeps_no_one_out(clock):
    seats = live_tab.Seats()
    seats.take("a"), seats.take("b")
    for _ in range(live_tab.MAX_STREAM_SECONDS):
        clock.now_s += 1
        seconds = seats.take("a")
    assert seconds == live_tab.MAX_STREAM_SECONDS
    assert [seats.take(who) for who in "cd"] == [0, 0]
    assert seats.take("a") > live_tab.MAX_STREAM_SECONDS - 1
    assert seats.take("e") is None


def test_who_stays_too_long_gets_no_second_turn_by_a_new_stream_alone(clock):
    seats = live_tab.Seats()
    for _ in range(live_tab.MAX_STREAM_SECONDS + 1):
        seconds = seats.take("a")
        clock.now_s += 1
    seats.leave("a")
    assert seats.take("a") > seconds
    clock.now_s += live_tab.SILENT_S
    assert seats.take("a") == 0


class Blind:
    """A detective that sees no face."""

    classifier = SimpleNamespace(unsure_below=0.4)

    def read(self, picture: Image.Image) -> list:
        return []


def test_a_frame_on_its_way_does_not_undo_a_new_start():
    data = base64.b64encode(drawing.to_jpeg(Image.new("RGB", (64, 48)))).decode()
    upload = {"url": f"data:image/jpeg;base64,{data}"}
    begun, *_ = live_tab._add_frame(Blind(), live_tab.Seats(), upload, None, "visitor")
    assert isinstance(begun, live_tab.Session)
    further, *_ = live_tab._add_frame(Blind(), live_tab.Seats(), upload, begun, "visitor")
    assert further == gr.skip()
    assert len(begun.timeline.frames) == 2
