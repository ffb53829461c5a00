"""The training run learns, resumes to the same result, and counts every image once."""

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small import ROOT, SMALL_OPTIONS, SMALL_RUN, write_votes

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
    """The folder, the network and the rows of a run of eight epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, *loop.train(TrainConfig(**SMALL, epochs=8), parts, folder)


def assert_same_weights(one: Path, other: Path) -> None:
    weights = load_file(other)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load_file(one).items())


def test_network_learns_what_can_be_seen(finished):
    folder, _, rows = finished
    assert [row["epoch"] for row in rows] == list(range(1, 9))
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


def test_interrupted_run_resumes_to_the_same_result(parts, tmp_path, monkeypatch):
    strong = dict(augmentation=1.0, erasing=0.5)
    config = TrainConfig(**{**SMALL, **strong}, epochs=4)
    _, whole = loop.train(config, parts, tmp_path / "whole")

    train_epoch = loop._train_epoch

    def stop_in_third(run, epoch):
        if epoch == 2:
            raise KeyboardInterrupt
        return train_epoch(run, epoch)

    monkeypatch.setattr(loop, "_train_epoch", stop_in_third)
    with pytest.raises(KeyboardInterrupt):
        loop.train(config, parts, tmp_path / "parted")
    monkeypatch.setattr(loop, "_train_epoch", train_epoch)
    _, parted = loop.train(config, parts, tmp_path / "parted", resume=True)

    one, other = (
        [{name: value for name, value in row.items() if "second" not in name} for row in rows]
        for rows in (whole, parted)
    )
    assert one == other
    assert_same_weights(*(tmp_path / run / BEST_WEIGHTS_FILE for run in ("whole", "parted")))


def test_where_writing_takes_long_the_result_is_the_same(parts, finished, tmp_path, monkeypatch):
    written, save_epoch = [], run_folder.save_epoch

    def noting(accelerator, history, best, output) -> None:
        written.append(len(history.rows))
        save_epoch(accelerator, history, best, output)

    monkeypatch.setattr(run_folder, "save_epoch", noting)
    monkeypatch.setattr(run_folder, "WRITING_FRACTION", 0.0)
    monkeypatch.setattr(run_folder, "SHORT_WRITING_S", 0.0)
    loop.train(TrainConfig(**SMALL, epochs=8), parts, tmp_path / "run")
    assert written == [1, 8]
    assert_same_weights(*(run / BEST_WEIGHTS_FILE for run in (finished[0], tmp_path / "run")))


def test_occupied_folder_is_refused_and_kept(parts, finished):
    folder, *_ = finished
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    with pytest.raises(ValueError, match="holds a run already: add --resume"):
        loop.train(TrainConfig(**SMALL, epochs=8), parts, folder)
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before


def test_a_run_without_a_whole_epoch_can_begin_again_with_other_options(parts, tmp_path):
    wrong = TrainConfig(**{**SMALL, "init": "no/where/at/all"}, epochs=1)
    with pytest.raises(ValueError, match="No folder"):
        loop.train(wrong, parts, tmp_path / "run")
    assert (tmp_path / "run" / run_folder.CONFIG_FILE).is_file()
    _, rows = loop.train(TrainConfig(**SMALL, epochs=1), parts, tmp_path / "run")
    assert len(rows) == 1


def test_resume_with_another_recipe_names_the_difference(parts, finished):
    with pytest.raises(ValueError, match="began with epochs=8, not 2"):
        loop.train(TrainConfig(**SMALL, epochs=2), parts, finished[0], resume=True)


def test_resume_with_other_data_is_refused(parts, finished):
    other = parts | {"validation": parts["validation"].select(range(20))}
    with pytest.raises(ValueError, match="began with validation_images=24, not 20"):
        loop.train(TrainConfig(**SMALL, epochs=8), other, finished[0], resume=True)


def test_a_finished_run_is_not_trained_once_more(parts, finished, tmp_path):
    folder = shutil.copytree(finished[0], tmp_path / "run")
    run_folder.remove_state(folder)
    with pytest.raises(ValueError, match="is finished: to train again name another --output"):
        loop.train(TrainConfig(**SMALL, epochs=8), parts, folder, resume=True)


def test_resume_without_a_run_says_so(parts, tmp_path):
    with pytest.raises(ValueError, match="no run to resume"):
        loop.train(TrainConfig(**SMALL), parts, tmp_path / "nothing", resume=True)


def test_frozen_epoch_moves_the_classifier_only(parts, tmp_path):
    config = TrainConfig(**SMALL, epochs=2, frozen_epochs=1)
    run = prepare(config, parts)
    before = {k: v.clone() for k, v in run.network.named_parameters()}
    loop._train_epoch(run, 0)
    moved = {k for k, v in run.network.named_parameters() if not torch.equal(v, before[k])}
    assert moved == {"fc.weight", "fc.bias"}
    loop._train_epoch(run, 1)
    moved = {k for k, v in run.network.named_parameters() if not torch.equal(v, before[k])}
    assert "conv1.0.weight" in moved


def test_a_run_with_votes_is_not_resumed_without_or_with_others(parts, tmp_path):
    path = write_votes(tmp_path / "votes.csv", parts["train"])
    config = TrainConfig(**SMALL, epochs=1, votes=str(path))
    loop.train(config, parts, tmp_path / "run")
    with pytest.raises(ValueError, match=r"began with votes=votes\.csv, not None"):
        loop.train(TrainConfig(**SMALL, epochs=1), parts, tmp_path / "run", resume=True)
    write_votes(path, parts["train"], without_label=1)
    with pytest.raises(ValueError, match="began with votes_checksum="):
        loop.train(config, parts, tmp_path / "run", resume=True)


def test_every_batch_has_a_side_of_its_own_near_the_epoch_s(parts, monkeypatch):
    config = TrainConfig(**{**SMALL, "image_sizes": (48,)}, epochs=1, size_spread=0.17)
    sides, step = [], loop.step
    monkeypatch.setattr(
        loop, "step", lambda run, i, side, *rest: sides.append(side) or step(run, i, side, *rest)
    )
    run = prepare(config, parts)
    row = loop._train_epoch(run, 0)
    assert set(sides) == {40, 48, 56}
    assert row["image_size"] == 48
    before = list(sides)
    loop._train_epoch(prepare(config, parts), 0)
    assert sides[len(before) :] == before


def test_best_epoch_is_sought_at_the_final_image_size():
    rows = [
        dict(epoch=1, image_size=48, validation_accuracy=0.9),
        dict(epoch=2, image_size=64, validation_accuracy=0.5),
        dict(epoch=3, image_size=64, validation_accuracy=0.6),
    ]
    assert run_folder.best_row(rows)["epoch"] == 3


def test_a_run_that_goes_on_draws_other_batches_than_the_one_before(parts, tiny_checkpoint):
    fresh, *again = [
        prepare(TrainConfig(**{**SMALL, "init": init}), parts)
        for init in ("scratch", str(tiny_checkpoint), str(tiny_checkpoint))
    ]
    first, *others = [torch.cat(list(run.loaders["train"])).tolist() for run in (fresh, *again)]
    assert others[0] == others[1] != first
    assert again[0].seed == again[1].seed != fresh.seed


def command(source: Path, output: Path, *more: str) -> list[str]:
    arguments = ["train", "--data", str(source), "--output", str(output), "--init", "scratch"]
    arguments += ["--epochs", "4", "--seed", "1", *SMALL_OPTIONS, *more]
    return [sys.executable, str(ROOT / "train_hub.py"), *arguments]


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_checkpoint(source, tmp_path):
    subprocess.run(command(source, tmp_path / "whole"), check=True, capture_output=True)
    process = subprocess.Popen(command(source, tmp_path / "killed"), stderr=subprocess.DEVNULL)
    history = tmp_path / "killed" / run_folder.HISTORY_FILE
    while not (history.is_file() and history.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    resumed = command(source, tmp_path / "killed", "--resume")
    subprocess.run(resumed, check=True, capture_output=True)
    assert_same_weights(*(tmp_path / run / "model.safetensors" for run in ("whole", "killed")))


@pytest.mark.slow
def test_two_processes_count_every_image_once_and_measure_as_one_does(
    source, parts, tmp_path, monkeypatch
):
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
            run = run.prepare(config, parts)
            measured = loop._validate(run, 0)
            seen = [run.accelerator.gather(i).tolist() for i in run.loaders["train"]]
            _, rows = loop.train(config, parts, pathlib.Path({str(tmp_path / "run")!r}))
            if loop.is_main_process():
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
    assert row["validation_images"] == 24
    # Five batches of at most five: one process has three, the other two and one for company.
    monkeypatch.setattr("emotion_detective.training.run.EVALUATION_BATCH", 5)
    alone = loop._validate(prepare(TrainConfig(**small), parts), 0)
    assert measured == pytest.approx(alone, rel=1e-5)
    # What two processes measured after training is what the weights do that they left.
    run = prepare(TrainConfig(**small), parts)
    run.ema.module.load_state_dict(load_file(tmp_path / "run" / BEST_WEIGHTS_FILE))
    alone = loop._validate(run, 0)
    assert {name: row[name] for name in alone} == pytest.approx(alone, rel=1e-5)
