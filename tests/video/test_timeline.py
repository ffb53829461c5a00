"""Predictions over time: shares of time, smoothing, tables, limits."""

import io
import json

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import prediction

from emotion_detective import LABELS
from emotion_detective.core.detective import Prediction
from emotion_detective.video.timeline import MAX_HOLD_S, Timeline

COLUMNS = ["time_s", "track", "box", "label", "confidence", "unsure", *LABELS]


def random_prediction(dice: np.random.Generator) -> Prediction:
    left, top = dice.uniform(0, 1000, 2)
    probabilities = dice.dirichlet(np.ones(6))
    confidence = float(probabilities.max())
    label = LABELS[int(probabilities.argmax())]
    box = (left, top, left + dice.uniform(0, 200), top + dice.uniform(0, 200))
    unsure = confidence < 0.4
    return Prediction(
        box,
        0.99,
        label=label,
        confidence=confidence,
        unsure=unsure,
        probabilities=tuple(probabilities.tolist()),
    )


seeds, limits = st.integers(0, 2**32 - 1), st.integers(1, 30)
# Seconds since the frame before, and faces.
steps = st.lists(st.tuples(st.floats(0, 5), st.integers(0, 4)), max_size=12)


def filled(seed: int, max_rows: int, steps: list[tuple[float, int]]) -> Timeline:
    dice, time_s = np.random.default_rng(seed), 1000.0
    timeline = Timeline(LABELS, unsure_below=0.4, max_rows=max_rows)
    for gap_s, faces in steps:
        time_s += gap_s
        timeline.add(time_s, [random_prediction(dice) for _ in range(faces)])
    return timeline


def happy_then_sad(rate_hz: float, seconds: float) -> Timeline:
    timeline = Timeline(LABELS)
    timeline.add(0.0, [prediction("happy")])
    for i in range(1, round(seconds * rate_hz) + 1):
        timeline.add(i / rate_hz, [prediction("sad")])
    return timeline


@given(seeds, limits, steps)
@settings(max_examples=50, deadline=None, derandomize=True)
def test_whatever_comes_tables_are_whole_and_memory_is_bounded(seed, max_rows, steps):
    timeline = filled(seed, max_rows, steps)
    for frame in timeline.frames:
        assert len({reading.track for reading in frame.readings}) == len(frame.readings)
        for reading in frame.readings:
            probabilities = np.array(reading.shown.probabilities)
            assert probabilities.min() >= 0
            assert probabilities.sum() == pytest.approx(1, abs=1e-6)
            assert reading.shown.confidence == probabilities.max()
            assert reading.shown.label == LABELS[probabilities.argmax()]
    table, frequencies = timeline.table(), timeline.frequencies()
    assert table.columns.tolist() == COLUMNS
    assert table["time_s"].is_monotonic_increasing
    newest = len(timeline.frames[-1].readings) if timeline.frames else 0
    assert len(table) <= max(timeline.max_rows, newest)
    assert len(timeline.frames) <= timeline.max_rows
    assert frequencies["track"].tolist() == timeline.tracks
    assert (frequencies["seconds"] > 0).all()
    assert frequencies[[*LABELS, "unsure"]].sum(axis=1).to_numpy() == pytest.approx(1)
    overall = timeline.overall_frequencies()
    assert sum(overall.values()) == pytest.approx(1 if timeline.tracks else 0)


def test_a_prediction_counts_until_the_next_frame():
    timeline = Timeline(LABELS)
    for time_s, label in [(0.0, "happy"), (0.3, "sad"), (0.4, "happy"), (1.0, "sad")]:
        timeline.add(time_s, [prediction(label)])
    row = timeline.frequencies().iloc[0]
    # happy 0.3 + 0.6, sad 0.1 + 0.3: the last frame counts as the median gap
    assert row["seconds"] == pytest.approx(1.3)
    assert row["happy"] == pytest.approx(0.9 / 1.3)
    assert row["sad"] == pytest.approx(0.4 / 1.3)
    assert timeline.overall_frequencies()["happy"] == pytest.approx(0.9 / 1.3)


@pytest.mark.parametrize(
    ("times_s", "seconds"),
    [
        ([0.0, 100.0, 101.0], [MAX_HOLD_S, 1.0]),  # a gap counts as two seconds
        ([0.0, 0.25, 1.5], [0.25, 1.25]),  # a face that is missed has left
    ],
)
def test_a_face_counts_until_it_is_missed_but_not_through_a_gap(times_s, seconds):
    timeline = Timeline(LABELS)
    for time_s, faces in zip(times_s, ([prediction()], [prediction("sad")], []), strict=True):
        timeline.add(time_s, faces)
    totals = timeline.frequencies()["seconds"]
    assert totals.sum() == pytest.approx(sum(seconds))


def test_an_unsure_prediction_counts_for_no_emotion():
    timeline = Timeline(LABELS)
    timeline.add(0, [prediction("happy", 0.3, unsure=True)])
    timeline.add(1, [prediction("happy")])
    shares = timeline.overall_frequencies()
    assert (shares["happy"], shares["unsure"]) == (0.5, 0.5)


def test_an_empty_timeline_has_empty_tables():
    timeline = Timeline(LABELS)
    assert timeline.table().columns.tolist() == COLUMNS
    assert timeline.frequencies().columns.tolist() == ["track", "seconds", *LABELS, "unsure"]
    assert timeline.csv() == ",".join(COLUMNS) + "\r\n"
    assert timeline.overall_frequencies() == {}
    assert (timeline.key_moments(), timeline.at(0), timeline.duration_s) == ([], [], 0.0)


def test_smoothing_goes_by_seconds_not_by_frames():
    happy = LABELS.index("happy")
    slow, fast = happy_then_sad(5, 1), happy_then_sad(50, 1)
    shown = [one.readings[-1].shown.probabilities[happy] for one in (slow, fast)]
    assert shown[0] == pytest.approx(shown[1])
    # what is left of the step from 0.9 to 0.02 after two time constants
    assert shown[0] == pytest.approx(0.02 + 0.88 * np.exp(-2))


def test_the_table_holds_the_model_s_predictions_and_not_the_smoothed_ones():
    timeline = happy_then_sad(5, 0.2)
    assert timeline.table()["sad"].tolist() == pytest.approx([0.02, 0.9])
    assert timeline.table()["label"].tolist() == ["happy", "sad"]
    assert timeline.readings[1].shown.label == "happy"


def test_a_prediction_between_two_emotions_is_unsure_once_smoothed():
    timeline = Timeline(LABELS, unsure_below=0.6)
    timeline.add(0.0, [prediction("happy")])
    (reading,) = timeline.add(0.35, [prediction("sad")])
    assert reading.shown.unsure
    assert not reading.prediction.unsure


def test_readings_come_in_the_order_of_predictions():
    left, right = prediction("happy", box=(0, 0, 90, 90)), prediction("sad", box=(500, 0, 590, 90))
    timeline = Timeline(LABELS)
    assert [one.track for one in timeline.add(0, [left, right])] == [1, 2]
    assert [one.track for one in timeline.add(1, [right, left])] == [2, 1]
    assert timeline.table()["label"].tolist() == ["happy", "sad", "sad", "happy"]


def test_the_csv_is_the_table():
    timeline = happy_then_sad(3, 1)
    read = pd.read_csv(io.StringIO(timeline.csv()))
    assert read.columns.tolist() == COLUMNS
    assert [json.loads(box) for box in read["box"]] == [[10, 20, 110, 120]] * 4
    assert read["time_s"].tolist() == [0, 0.333333, 0.666667, 1]
    assert read[list(LABELS)].to_numpy() == pytest.approx(
        timeline.table()[list(LABELS)].to_numpy(), abs=1e-6
    )


def test_key_moments_are_the_strongest_of_each_emotion_and_outlive_old_frames():
    timeline = Timeline(LABELS, max_rows=2)
    for time_s, label, confidence in [(0, "sad", 0.5), (3, "happy", 0.9), (6, "sad", 0.8)]:
        timeline.add(time_s, [prediction(label, confidence)])
    for time_s in (9, 12):
        timeline.add(time_s, [prediction("happy", 0.6)])
    timeline.add(12.01, [prediction("sad", 0.95)])  # smoothed it is happy still
    moments = timeline.key_moments()
    assert [(one.shown.label, one.time_s) for one in moments] == [("happy", 3), ("sad", 6)]
    assert timeline.dropped_frames == 4
    assert [frame.time_s for frame in timeline.frames] == [12, 12.01]


def test_between_two_frames_a_box_is_on_its_way():
    timeline = Timeline(LABELS)
    timeline.add(0.0, [prediction("happy", box=(0, 0, 100, 100))])
    timeline.add(1.0, [prediction("happy", box=(40, 20, 140, 120))])
    assert [one.shown.box_xyxy for one in timeline.at(0.5)] == [(20, 10, 120, 110)]
    assert [one.shown.box_xyxy for one in timeline.at(1.5)] == [(40, 20, 140, 120)]
    assert timeline.at(-0.1) == []
    assert timeline.at(1.0 + MAX_HOLD_S + 0.1) == []


@pytest.mark.parametrize("time_s", [0.9, float("nan"), float("inf")])
def test_time_does_not_run_backwards(time_s):
    timeline = Timeline(LABELS)
    timeline.add(1.0, [])
    with pytest.raises(ValueError, match="Frames must come in the order of time"):
        timeline.add(time_s, [])
