"""Ablations: a finished run is kept, and its difference is told with how sure it is."""

import dataclasses

import ablations
import pytest

from emotion_detective.training import loop

BASE = dataclasses.replace(ablations.BASE, epochs=1, batch_size=24, image_sizes=(32,))


@pytest.fixture
def begin(parts, tiny_checkpoint, tmp_path):
    """Make the run that changes this setting."""
    config = dataclasses.replace(BASE, init=str(tiny_checkpoint), limit=None)
    return lambda name, **change: ablations.run(
        dataclasses.replace(config, **change), parts, tmp_path / name
    )


def test_a_run_is_made_once_and_leaves_a_row_and_no_state(begin, tmp_path, monkeypatch):
    row = begin("base")
    assert row["config"]["init"] == "tiny"
    assert len(row["hits"]) == 24
    assert set(row["hits"]) <= {0, 1}
    assert 0 <= row["raw_accuracy"] <= 1
    assert not list((tmp_path / "base").glob("state_*"))
    monkeypatch.setattr(loop, "train", lambda *_, **__: pytest.fail("ran again"))
    assert begin("base") == row


def test_a_run_of_another_recipe_is_refused(begin):
    begin("base")
    with pytest.raises(ValueError, match="holds a run of another recipe"):
        begin("base", erasing=0.2)


def test_without_averaging_both_accuracies_are_those_of_the_last_weights(begin):
    row = begin("plain", ema_decay=0.0)
    assert row["raw_accuracy"] == pytest.approx(sum(row["hits"]) / 24)


def test_every_change_is_one_of_the_recipe():
    base = dataclasses.asdict(BASE)
    for change in ablations.CHANGES.values():
        config = dataclasses.asdict(dataclasses.replace(BASE, **change))
        assert {name for name in base if base[name] != config[name]} == change.keys()


def test_a_difference_is_as_unsure_as_the_images_that_changed():
    row = {"config": {}, "validation_loss": 1.0, "hits": [1, 1, 1, 0]}
    told = ablations.compared(row, {"hits": [1, 0, 1, 0]})
    assert told["validation_accuracy"] == 0.75
    assert told["difference"] == 0.25
    assert told["standard_error"] == pytest.approx(3**0.5 / 8)
    assert ablations.compared(row, row)["standard_error"] == 0


def test_the_table_names_what_changed_and_what_averaging_gained():
    row = {"validation_loss": 1.0, "images_per_second": 90.0, "minutes": 5.0}
    base = {"epochs": 2, "image_sizes": [48], "limit": 100, "mixup": 0.0}
    hits, more = [1, 0, 0, 0], [1, 1, 0, 0]
    runs = {
        "base": row | {"config": base, "hits": hits, "raw_accuracy": 0.25},
        "mixup": row | {"config": base | {"mixup": 0.2}, "hits": more, "raw_accuracy": 0.25},
    }
    result = ablations.report.origin("d")
    result["runs"] = {name: ablations.compared(r, runs["base"]) for name, r in runs.items()}
    text = "\n".join(ablations.markdown(result))
    assert "| base | nothing | 25.0% | +0.0 ± 0.0 | 25.0% | 1.000 | 90 |" in text
    assert "| mixup | mixup 0.2 | 50.0% | +25.0 ± 21.7 | 25.0% | 1.000 | 90 |" in text
    assert "changes the accuracy by +12.50 points on average" in text
