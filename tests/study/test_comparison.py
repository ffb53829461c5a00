"""The study runs each architecture and length for itself, keeps what is done and what failed."""

import dataclasses
import json

import pytest
from PIL import Image
from small import TINY

from emotion_detective.study import comparison
from emotion_detective.training.recipe import TrainConfig

BASE = TrainConfig(batch_size=24, image_sizes=(32,), image_size_shares=(1.0,), limit=72)
LENGTHS = [1, 2]


@pytest.fixture(scope="module")
def study(parts, tmp_path_factory):
    """An architecture and one that does not exist."""
    output = tmp_path_factory.mktemp("study") / "out"
    rows = comparison.compare(BASE, [TINY, "nosuchnet"], LENGTHS, parts, "fer", output, {})
    return parts, output, rows


@pytest.mark.slow
def test_failing_architecture_does_not_lose_the_others(study):
    _, _, rows = study
    assert [(row["architecture"], row["epochs"], "error" in row) for row in rows] == [
        (TINY, 1, False),
        (TINY, 2, False),
        ("nosuchnet", 1, True),
        ("nosuchnet", 2, True),
    ]
    assert "timm has no architecture 'nosuchnet'" in rows[2]["error"]


def test_a_checkpoint_cannot_be_the_start_of_several_architectures(tiny_checkpoint, tmp_path):
    base = dataclasses.replace(BASE, init=str(tiny_checkpoint))
    with pytest.raises(ValueError, match="compare from --init scratch or imagenet"):
        comparison.compare(base, [TINY, "vgg16"], [1], {}, "fer", tmp_path, {})


@pytest.mark.slow
def test_every_length_has_its_own_schedule(study):
    one, two = (row["history"] for row in study[2][:2])
    assert (len(one), len(two)) == (1, 2)
    assert one[0]["learning_rate"] != two[0]["learning_rate"]


@pytest.mark.slow
def test_an_architecture_learns_at_the_rate_that_its_range_test_suggests(study):
    _, output, rows = study
    folder = output / f"{TINY}-find-lr"
    suggested = json.loads((folder / "result.json").read_text())["learning_rate"]
    assert [row["config"]["learning_rate"] for row in rows[:2]] == [suggested] * 2
    assert suggested != BASE.learning_rate
    assert Image.open(folder / "find_lr.png").width >= 800
    assert f"| {suggested:.1e} |" in (output / "comparison.md").read_text()


def test_an_architecture_learns_at_the_rate_that_is_given_for_it(parts, tmp_path):
    (row,) = comparison.compare(BASE, [TINY], [1], parts, "fer", tmp_path, {TINY: 2e-5})
    assert row["learning_rate"] == row["config"]["learning_rate"] == 2e-5
    assert not (tmp_path / f"{TINY}-find-lr").exists()


def test_table_json_and_plots_are_written(study):
    _, output, rows = study
    assert json.loads((output / "comparison.json").read_text())["rows"] == rows
    table = (output / "comparison.md").read_text()
    assert f"| {TINY} | 2 |" in table
    assert "| timm has no architecture" in table
    for name in ("accuracy_against_time.png", "losses.png"):
        assert Image.open(output / name).width >= 800
    assert rows[0]["ms_a_face_cpu"] > 0


def test_finished_cells_are_not_run_again(study, monkeypatch):
    parts, output, rows = study
    monkeypatch.setattr(comparison.loop, "train", lambda *_, **__: pytest.fail("ran"))
    assert comparison.compare(BASE, [TINY], LENGTHS, parts, "fer", output, {}) == rows[:2]


def test_finished_cells_of_another_recipe_or_hardware_are_refused(study, monkeypatch):
    parts, output, _ = study
    other = dataclasses.replace(BASE, limit=48)
    with pytest.raises(ValueError, match="holds a run with other options"):
        comparison.compare(other, [TINY], [1], parts, "fer", output, {})
    monkeypatch.setattr(comparison.machine, "describe_hardware", lambda: "another")
    with pytest.raises(ValueError, match="options, data or hardware"):
        comparison.compare(BASE, [TINY], [1], parts, "fer", output, {})
