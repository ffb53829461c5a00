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
# Flat, then a fall between 0.5 and 0.8 of the steps, then a rise.
FALL = np.interp(np.linspace(0, 1, 120), [0, 0.5, 0.8, 1.0], [1.8, 1.8, 1.0, 3.0])
RATES = np.logspace(-6, 0, 120)


@pytest.mark.slow
def test_curve_and_suggestion_are_written(parts, tmp_path):
    test = lr_finder.find_lr(CONFIG, parts)
    assert test.rates[0] == pytest.approx(lr_finder.LOWEST_RATE)
    assert np.allclose(test.rates[1:] / test.rates[:-1], 1e6 ** (1 / 149))
    assert test.rates[0] < test.suggestion < test.rates[-1]
    csv_path, png_path = lr_finder.write(test, tmp_path / "new")
    rows = list(csv.DictReader(csv_path.open()))
    assert [float(row["learning_rate"]) for row in rows] == test.rates.tolist()
    assert Image.open(png_path).width >= 800


def test_test_stops_when_the_loss_diverges(parts, monkeypatch):
    losses = iter([1.8] * 20 + [1.0] * 20 + [1e9] * 110)
    monkeypatch.setattr(loop, "step", lambda *_: torch.tensor(next(losses)))
    assert len(lr_finder.find_lr(CONFIG, parts).rates) == 40


def test_a_test_on_a_slow_cpu_takes_smaller_batches_and_then_fewer_steps(parts, monkeypatch):
    def run(config, parts, accelerator, steps):
        ran.append((config.batch_size, steps))
        return RATES.copy(), FALL

    ran = []
    monkeypatch.setattr(lr_finder, "_raise_rate", run)
    for seconds in (0.001, 0.06, 0.2):
        monkeypatch.setattr(lr_finder.machine, "time_image", lambda *_, each=seconds: each)
        rates = lr_finder.find_lr(TrainConfig(batch_size=100), parts).rates
    assert ran == [(100, 150), (20, 150), (16, 56)]
    assert rates[0] == pytest.approx(1e-6 * np.sqrt(100 / 16))  # those for the recipe's batch


def test_a_curve_without_a_suggestion_is_drawn_all_the_same(parts, monkeypatch, tmp_path):
    monkeypatch.setattr(lr_finder, "_raise_rate", lambda *_: (RATES.copy(), 1.8 + RATES))
    test = lr_finder.find_lr(CONFIG, parts)
    assert test.suggestion is None
    assert "fell at no rate" in test.problem
    assert all(path.is_file() for path in lr_finder.write(test, tmp_path))


def test_the_suggestion_lies_in_the_fall_of_a_known_curve():
    assert RATES[60] <= lr_finder.suggest(RATES, FALL) <= RATES[95]


def test_a_curve_that_only_wavers_suggests_nothing():
    wavering = 1.8 - 0.002 * np.cos(np.arange(120)) + np.linspace(0, 1, 120)
    with pytest.raises(ValueError, match="fell at no rate from 4e-06 to 6e-01"):
        lr_finder.suggest(RATES, wavering)


def test_too_short_a_curve_is_refused():
    with pytest.raises(ValueError, match="diverged after 12 steps"):
        lr_finder.suggest(RATES[:12], FALL[:12])
