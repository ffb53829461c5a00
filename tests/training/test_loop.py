"""The training run learns, and counts every image once."""

import json
import logging
import os
import subprocess
import sys
import textwrap
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small import ROOT, SMALL_RUN, write_votes

from emotion_detective.training import loop, run_folder
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run import prepare
from emotion_detective.training.run_folder import BEST_WEIGHTS_FILE

SMALL = SMALL_RUN | dict(
    drop_path=0.0,
    learning_rate=3e-3,
    augmentation=0.0,
    late_augmentation=0.0,
    erasing=0.0,
    ema_decay=0.9,
)


@pytest.fixture(scope="module")
def finished(parts, tmp_path_factory) -> tuple[Path, torch.nn.Module, list[dict]]:
    """The folder, the network and the rows of a run of six epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, *loop.train(TrainConfig(**SMALL, epochs=6), parts, folder)


def test_network_learns_what_can_be_seen(finished):
    folder, _, rows = finished
    assert [row["epoch"] for row in rows] == list(range(1, 7))
    assert rows[-1]["train_loss"] < rows[0]["train_loss"]
    assert run_folder.best_row(rows)["validation_accuracy"] > 0.6
    written = (folder / run_folder.HISTORY_FILE).read_text().splitlines()
    assert [json.loads(line) for line in written] == rows


def test_returned_network_has_the_weights_of_the_best_epoch(parts, finished):
    _, network, rows = finished
    logits, labels = loop.predict_logits(network, parts["validation"], 32)
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    best = run_folder.best_row(rows)["validation_accuracy"]
    assert accuracy == pytest.approx(best, abs=1.5 / len(labels))  # bfloat16 may flip one


@pytest.mark.parametrize(("batch_size", "steps"), [(24, 9), (8, 20)])  # epochs of 9 and 27 steps
def test_a_loss_that_is_no_number_stops_the_run_at_once(parts, tmp_path, batch_size, steps):
    config = TrainConfig(**SMALL | {"learning_rate": 1e30, "batch_size": batch_size}, epochs=3)
    with pytest.raises(ValueError, match=rf"The loss is nan after {steps} steps: .* a lower --lr"):
        loop.train(config, parts, tmp_path / "run")


@pytest.mark.parametrize(
    ("loss", "steps", "advice"),
    [
        (1.8, 36, "nothing in 36 steps: it takes more --epochs"),
        (1.8, 5000, "try a lower --lr"),
        (0.5, 5000, "learned the training images and nothing that holds for others"),
    ],
)
def test_advice_names_the_cause(loss, steps, advice):
    assert advice in loop._explain_failure([{"train_loss": loss}], steps)


def test_rare_classes_are_named_or_weigh_as_much_as_the_others(parts, caplog):
    labels = np.array(parts["train"]["label"])
    rows = np.concatenate((np.flatnonzero(labels != 0), np.flatnonzero(labels == 0)[:2]))
    unequal = parts | {"train": parts["train"].select(rows)}
    with caplog.at_level(logging.WARNING):
        prepare(TrainConfig(**SMALL), unequal)
    assert "2 of angry, which will hardly be learned" in caplog.text
    run = prepare(TrainConfig(**SMALL, class_weights=True), unequal)
    torch.testing.assert_close(run.targets["train"].sum(dim=0), torch.full((6,), len(rows) / 6))


def test_limit_holds_for_validation_too(parts):
    run = prepare(TrainConfig(**SMALL, limit=20), parts)
    assert {name: len(images) for name, images in run.images.items()} == {
        "train": 20,
        "validation": 20,
    }


def test_a_run_with_votes_is_not_resumed_without(parts, tmp_path):
    path = write_votes(tmp_path / "votes.csv", *parts.values())
    config = TrainConfig(**SMALL, epochs=1, votes=str(path))
    _, (row,) = loop.train(config, parts, tmp_path / "run")
    assert row["validation_agreement"] == pytest.approx(row["validation_accuracy"])
    with pytest.raises(ValueError, match=r"began with votes=votes\.csv, not None"):
        loop.train(TrainConfig(**SMALL, epochs=1), parts, tmp_path / "run", resume=True)


def test_every_batch_has_a_side_of_its_own_near_the_epoch_s(parts, monkeypatch):
    config = TrainConfig(**{**SMALL, "image_sizes": (48,)}, epochs=1, size_spread=0.17)
    sides, step = [], loop.step
    monkeypatch.setattr(
        loop, "step", lambda run, i, side, *rest: sides.append(side) or step(run, i, side, *rest)
    )
    run = prepare(config, parts)
    row = loop._train_epoch(run, 0)
    assert len(set(sides)) > 1 and set(sides) <= {40, 48, 56}
    assert row["image_size"] == 48
    before = list(sides)
    loop._train_epoch(prepare(config, parts), 0)
    assert sides[len(before) :] == before


def test_a_run_that_goes_on_draws_other_batches_than_the_one_before(parts, tiny_checkpoint):
    fresh, *again = [
        prepare(TrainConfig(**{**SMALL, "init": init}), parts)
        for init in ("scratch", str(tiny_checkpoint), str(tiny_checkpoint))
    ]
    first, *others = [torch.cat(list(run.loaders["train"])).tolist() for run in (fresh, *again)]
    assert others[0] == others[1] != first
    assert again[0].seed == again[1].seed != fresh.seed


@pytest.mark.slow
def test_two_processes_count_every_image_once_and_measure_as_one_does(source, parts, tmp_path):
    small = SMALL | {"epochs": 1, "batch_size": 50}
    script = tmp_path / "count.py"
    script.write_text(
        textwrap.dedent(
            f"""
            import json, pathlib, sys
            sys.path[:0] = [{str(ROOT)!r}]
            from emotion_detective import data
            from emotion_detective.training import loop, run
            from emotion_detective.training.recipe import TrainConfig
            run.EVALUATION_BATCH = 5
            config, parts = TrainConfig(**{small!r}), data.load({str(source)!r})
            parts["validation"] = parts["validation"].select(range(23))
            run = run.prepare(config, parts)
            measured = loop._validate(run, 0)
            seen = [run.accelerator.gather(i).tolist() for i in run.loaders["train"]]
            _, rows = loop.train(config, parts, pathlib.Path({str(tmp_path / "run")!r}))
            if run.accelerator.is_main_process:
                print(json.dumps([run.accelerator.num_processes, sum(seen, []), measured, rows]))
            """
        )
    )
    launch = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", str(script)]
    env = os.environ | {"OMP_NUM_THREADS": "1"}
    out = subprocess.run(launch, env=env, check=True, capture_output=True, text=True).stdout
    processes, seen, measured, (row,) = json.loads(out.strip().splitlines()[-1])
    assert processes == 2
    assert len(seen) == len(set(seen)) == 200  # of 216 in train: four full batches
    assert row["validation_images"] == 23  # ten, ten, and two for one of the processes
    parts = parts | {"validation": parts["validation"].select(range(23))}
    alone = loop._validate(prepare(TrainConfig(**small), parts), 0)
    assert measured == pytest.approx(alone, rel=1e-5)
    # What two processes measured after training is what the weights do that they left.
    run = prepare(TrainConfig(**small), parts)
    run.ema.module.load_state_dict(load_file(tmp_path / "run" / BEST_WEIGHTS_FILE))
    alone = loop._validate(run, 0)
    assert {name: row[name] for name in alone} == pytest.approx(alone, rel=1e-5)
