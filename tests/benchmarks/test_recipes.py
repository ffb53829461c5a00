"""The table of training runs: what it says a run changed and reached is what the run left."""

import json
from pathlib import Path

import pytest
import recipes


def finished_run(folder: Path, config: dict, accuracies: list[float]) -> Path:
    """Write what `train_hub.py train` leaves of a run with these epochs."""
    folder.mkdir()
    record = {"config": config, "epochs": len(accuracies), "hardware": "a CPU", "versions": {}}
    validation = {"accuracy": max(accuracies), "nll": 0.9}
    metrics = {"training": record | {"date": "2025-01-31"}, "validation": validation}
    (folder / "metrics.json").write_text(json.dumps(metrics))
    rows = [
        {
            "image_size": 64,
            "validation_accuracy": accuracy,
            "validation_loss": 1.0,
            "train_loss": 1.25,
            "images_per_second": 100.0 * (1 + i),
            "seconds": 60.0,
        }
        for i, accuracy in enumerate(accuracies)
    ]
    text = "".join(json.dumps(row) + "\n" for row in rows)
    (folder / "metrics.jsonl").write_text(text)
    return folder


def test_a_row_holds_the_best_epoch_and_what_changed(tmp_path):
    one = finished_run(tmp_path / "one", {"mixup": 0.2, "seed": 1, "cutmix": 0.0}, [0.5, 0.625])
    two = finished_run(tmp_path / "two", {"mixup": 0.0, "votes": [1, 2]}, [0.75, 0.5])
    runs = {folder.name: recipes.describe(folder) for folder in (one, two)}
    lines = "\n".join(recipes.markdown(runs)).splitlines()
    assert lines[-3].startswith(
        "| two | mixup 0.0, votes 1-2, no seed | 75.0% | 0.900 | 1.250 | 2 | 64 | 200 | 2 | a CPU |"
    )
    assert "| 62.5% |" in lines[-4]


def test_one_recipe_with_two_seeds_has_a_mean_and_a_spread(tmp_path):
    config = {"mixup": 0.2, "epochs": 1}
    runs = {
        name: recipes.describe(finished_run(tmp_path / name, config | changed, [accuracy]))
        for name, changed, accuracy in (
            ("one", {"seed": 0}, 0.675),
            ("two", {"seed": 0, "mixup": 0.0}, 0.5),
            ("three", {"seed": 1}, 0.685),
        )
    }
    last = list(recipes.markdown(runs))[-1]
    assert last.startswith("one and three differ in nothing but the seed of these 1 epochs: 68.00%")
    assert last.endswith("0.71 points.")  # (0.685 - 0.675) / sqrt(2)


def test_a_folder_without_a_finished_run_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"has no metrics.json of a finished run"):
        recipes.describe(tmp_path)


def test_runs_of_earlier_calls_are_kept(tmp_path):
    path = tmp_path / "recipes"
    assert recipes.report.read_known(path, "runs") == {}
    path.with_suffix(".json").write_text(json.dumps({"runs": {"one": {"epochs": 3}}}))
    assert recipes.report.read_known(path, "runs") == {"one": {"epochs": 3}}
