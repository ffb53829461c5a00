"""Who may be live at the same time, for how long, and who waits at which place."""

from types import SimpleNamespace

import pytest

from emotion_detective import LABELS
from emotion_detective.page import seats
from emotion_detective.video.timeline import Timeline


@pytest.fixture
def clock(monkeypatch) -> SimpleNamespace:
    """A clock that stands until it is set: `clock.now_s = 5`."""
    clock = SimpleNamespace(now_s=100.0, monotonic=lambda: clock.now_s)
    monkeypatch.setattr(seats, "time", clock)
    return clock


@pytest.fixture
def room(clock) -> seats.Seats:
    return seats.Seats(lambda: Timeline(LABELS))


def takes(room: seats.Seats, visitors: str) -> list[int]:
    """Return the place of each visitor, 0 for who is live."""
    answers = [room.take(visitor) for visitor in visitors]
    return [answer if isinstance(answer, int) else 0 for answer in answers]


def test_those_beyond_the_limit_wait_in_the_order_in_which_they_came(room):
    assert takes(room, "abcdabdc") == [0, 0, 1, 2, 0, 0, 2, 1]
    room.leave("a")
    assert takes(room, "dc") == [2, 0]
    assert takes(room, "da") == [1, 2]  # who comes back is last
    room.leave("d")
    assert takes(room, "a") == [1]


def test_who_falls_silent_gives_up_the_seat_or_the_place(room, clock):
    assert takes(room, "abcd") == [0, 0, 1, 2]
    clock.now_s += seats.SILENT_S - 1
    assert takes(room, "bd") == [0, 2]
    clock.now_s += 2
    assert takes(room, "bd") == [0, 0]


def test_a_session_counts_down_and_gives_its_seat_up_in_time(room, clock):
    session = room.take("a")
    room.take("b")
    for second in range(seats.SESSION_SECONDS):
        assert session.left_s == seats.SESSION_SECONDS - second
        assert takes(room, "abc") == [0, 0, 1]
        clock.now_s += 1
    assert session.left_s == 0
    assert takes(room, "cd") == [0, 0]
    assert room.take("a") is session  # its table can still be had
    assert room.leave("a") is session
    assert takes(room, "a") == [1]


def test_a_full_line_says_so(room):
    room.take("a"), room.take("b")
    for number in range(seats.MAX_WAITING):
        room.take(str(number))
    with pytest.raises(ValueError, match=r"Too many .* wait"):
        room.take("one more")
    assert takes(room, "0") == [1]
