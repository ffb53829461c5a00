"""What the charts of the Video and Live tabs are given to draw."""

import pytest

from emotion_detective.inference.detective import Prediction
from emotion_detective.inference.model import LABELS
from emotion_detective.page import charts
from emotion_detective.video.timeline import UNSURE, Timeline

LEFT, RIGHT = (0, 0, 100, 100), (500, 0, 600, 100)


def face(label: str, box=LEFT, unsure: bool = False) -> Prediction:
    probabilities = tuple(0.75 if name == label else 0.05 for name in LABELS)
    return Prediction(box, 0.99, label, 0.75, unsure, probabilities)


@pytest.fixture
def timeline() -> Timeline:
    """Ten seconds at 10 frames a second: one happy face; beside it one that is sad, then unsure."""
    timeline = Timeline(LABELS)
    for i in range(101):
        timeline.add(i / 10, [face("happy"), face("sad", RIGHT, unsure=i >= 50)])
    return timeline


def test_lines_are_the_six_probabilities_of_one_face(timeline):
    lines = charts.line_data(timeline, track=2)
    assert list(lines.columns) == ["time_s", "emotion", "probability"]
    assert set(lines["emotion"]) == set(LABELS)
    assert set(lines.loc[lines["emotion"] == "sad", "probability"].round(6)) == {0.75}
    assert lines["time_s"].max() == 10


def test_lines_can_show_the_last_seconds_only(timeline):
    assert charts.line_data(timeline, track=1, last_s=3)["time_s"].min() == pytest.approx(7)


def test_lines_are_thinned_out_to_what_a_screen_can_show(timeline, monkeypatch):
    monkeypatch.setattr(charts, "MAX_TIMES", 40)
    times_s = charts.line_data(timeline, track=1)["time_s"].unique()
    assert len(times_s) == 34  # every third of 101
    assert times_s[:2] == pytest.approx([0, 0.3])


def test_bars_are_each_faces_shares_of_time(timeline):
    bars = charts.bar_data(timeline)
    shares = bars.pivot(index="face", columns="emotion", values="share of time")
    assert list(shares.index) == ["1", "2"]
    assert set(shares.columns) == {*LABELS, UNSURE}
    assert shares.sum(axis=1).tolist() == pytest.approx([1, 1])
    assert shares.loc["1", "happy"] == pytest.approx(1)
    assert shares.loc["2", "sad"] == pytest.approx(50 / 101)
    assert shares.loc["2", UNSURE] == pytest.approx(51 / 101)


def test_bars_stand_in_the_order_of_faces():
    timeline = Timeline(LABELS)
    timeline.add(0, [face("happy", (200 * i, 0, 200 * i + 100, 100)) for i in range(11)])
    faces = charts.bar_data(timeline)["face"].unique().tolist()
    assert sorted(faces) == faces == [*(f" {number}" for number in range(1, 10)), "10", "11"]
