"""The range test finds where a network learns, and stops where it breaks."""

import csv

import numpy as np
import pytest
import torch
from PIL import Image
from small import SMALL_RUN

from emotion_detective.study import lr_finder
from emotion_detective.training import loop
from emotion_detective.training.recipe import TrainConfig

CONFIG = TrainConfig(**SMALL_RUN, limit=120)


@pytest.fixture(scope="module")
def test_result(parts):
    return lr_finder.find_lr(CONFIG, parts, steps=60)


def test_rates_rise_exponentially_from_the_lowest(test_result):
    assert test_result.rates[0] == pytest.approx(lr_finder.LOWEST_RATE)
    ratios = test_result.rates[1:] / test_result.rates[:-1]
    assert np.allclose(ratios, 1e6 ** (1 / 59))


def test_curve_and_suggestions_are_written(test_result, tmp_path):
    csv_path, png_path = lr_finder.write(test_result, tmp_path / "new")
    rows = list(csv.DictReader(csv_path.open()))
    assert [float(row["learning_rate"]) for row in rows] == test_result.rates.tolist()
    assert Image.open(png_path).width >= 800
    assert test_result.rates[0] < test_result.suggestion < test_result.rates[-1]


def test_test_stops_when_the_loss_diverges(parts, monkeypatch):
    losses = iter([1.8] * 20 + [1.0] * 20 + [1e9] * 60)
    monkeypatch.setattr(loop, "step", lambda *_: torch.tensor(next(losses)))
    assert len(lr_finder.find_lr(CONFIG, parts, steps=100).rates) == 40


def test_the_suggestion_lies_in_the_fall_of_a_known_curve():
    rates = np.logspace(-6, 0, 120)
    position = np.linspace(0, 1, 120)  # flat, then a fall between 0.5 and 0.8, then a rise
    losses = np.interp(position, [0, 0.5, 0.8, 1.0], [1.8, 1.8, 1.0, 3.0])
    assert rates[60] <= lr_finder.suggest(rates, losses) <= rates[95]


def test_a_test_on_a_slow_cpu_takes_smaller_batches_and_then_fewer_steps(parts, monkeypatch):
    def run(config, parts, accelerator, steps):
        ran.append((config.batch_size, steps))
        return np.logspace(-6, 0, 30), np.linspace(2, 1, 30)

    ran = []
    monkeypatch.setattr(lr_finder, "_raise_rate", run)
    for seconds in (0.001, 0.06, 0.2):
        monkeypatch.setattr(lr_finder.duration, "time_image", lambda *_, each=seconds: each)
        rates = lr_finder.find_lr(TrainConfig(batch_size=100), parts).rates
    assert ran == [(100, 150), (20, 150), (16, 56)]
    assert rates[0] == pytest.approx(1e-6 * np.sqrt(100 / 16))  # those for the recipe's batch


def test_a_curve_without_a_suggestion_is_drawn_all_the_same(parts, monkeypatch, tmp_path):
    curve = np.logspace(-6, 0, 60), np.linspace(1.8, 2.5, 60)
    monkeypatch.setattr(lr_finder, "_raise_rate", lambda *_: curve)
    test = lr_finder.find_lr(CONFIG, parts, steps=60)
    assert test.suggestion is None
    assert "fell at no rate" in test.problem
    assert all(path.is_file() for path in lr_finder.write(test, tmp_path))


def test_too_few_steps_are_refused_before_the_first():
    with pytest.raises(ValueError, match="takes 20 steps or more, not 1"):
        lr_finder.find_lr(CONFIG, {}, steps=1)


def test_a_curve_that_never_falls_suggests_nothing():
    wavering = 1.8 - 0.002 * np.cos(np.arange(120))
    with pytest.raises(ValueError, match="fell at no rate from 4e-06 to 6e-01"):
        lr_finder.suggest(np.logspace(-6, 0, 120), wavering + np.linspace(0, 1, 120))


def test_too_short_a_curve_is_refused():
    with pytest.raises(ValueError, match="diverged after 12 steps"):
        lr_finder.suggest(np.logspace(-6, -1, 12), np.linspace(1.8, 7, 12))
