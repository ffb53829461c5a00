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
from small import ROOT, TINY, write_source

from emotion_detective.evaluation import votes
from emotion_detective.training import augment, loop, run_folder
from emotion_detective.training.recipe import TrainConfig

SMALL = dict(
    architecture=TINY,
    batch_size=24,
    image_sizes=(32,),
    image_size_shares=(1.0,),
    learning_rate=3e-3,
    augmentation=0.0,
    erasing=0.0,
    mixup=0.0,
    ema_decay=0.9,
)


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    return write_source(tmp_path_factory.mktemp("source") / "fer", train=40, test=8)


@pytest.fixture(scope="module")
def finished(parts, tmp_path_factory) -> tuple[Path, torch.nn.Module, list[dict]]:
    """The folder, the network and the rows of a run of eight epochs."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return folder, *loop.train(TrainConfig(**SMALL, epochs=8), parts, folder)


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
    strong = dict(augmentation=1.0, erasing=0.5, mixup=0.2)
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

    timeless = [{k: v for k, v in row.items() if "second" not in k} for row in parted]
    assert timeless == [{k: v for k, v in row.items() if "second" not in k} for row in whole]
    one = load_file(tmp_path / "whole" / run_folder.BEST_WEIGHTS_FILE)
    other = load_file(tmp_path / "parted" / run_folder.BEST_WEIGHTS_FILE)
    assert all(torch.equal(one[name], other[name]) for name in one)


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
    run = loop.prepare(config, parts)
    before = {k: v.clone() for k, v in run.network.named_parameters()}
    loop._train_epoch(run, 0)
    moved = {k for k, v in run.network.named_parameters() if not torch.equal(v, before[k])}
    assert moved == {"fc.weight", "fc.bias"}
    loop._train_epoch(run, 1)
    moved = {k for k, v in run.network.named_parameters() if not torch.equal(v, before[k])}
    assert "conv1.0.weight" in moved


def write_votes(path: Path, split, without_label: int | None = None) -> Path:
    """Write a CSV in which everybody voted for the image's own label."""
    rows = [
        f"{file},{','.join('9' if i == label else '0' for i in range(len(votes.COUNTED)))}"
        for file, label in zip(split["file"], split["label"], strict=True)
        if label != without_label
    ]
    path.write_text("\n".join([f"path,{','.join(votes.COUNTED)}", *rows]) + "\n")
    return path


def test_votes_move_the_targets_of_the_images_that_have_some(parts, tmp_path):
    path = write_votes(tmp_path / "votes.csv", parts["train"], without_label=5)
    config = TrainConfig(**SMALL, epochs=1, vote_share=0.5, label_smoothing=0.0)
    run = loop.prepare(config, parts, votes=path)
    labels = run.labels["train"]
    own = run.targets[torch.arange(len(labels)), labels]
    assert (own[labels == 5] == 1).all()
    # All votes for the label: its probability is high, but no regression says 1.
    assert ((own[labels != 5] > 0.95) & (own[labels != 5] < 1)).all()


def test_a_run_with_votes_is_not_resumed_without_or_with_others(parts, tmp_path):
    path = write_votes(tmp_path / "votes.csv", parts["train"])
    config = TrainConfig(**SMALL, epochs=1, vote_share=0.5)
    loop.train(config, parts, tmp_path / "run", votes=path)
    with pytest.raises(ValueError, match=r"began with vote_share=0\.5, not 0\.0"):
        loop.train(config, parts, tmp_path / "run", resume=True)
    write_votes(path, parts["train"], without_label=1)
    with pytest.raises(ValueError, match="began with votes_checksum="):
        loop.train(config, parts, tmp_path / "run", votes=path, resume=True)


def test_image_size_grows_over_the_epochs():
    config = TrainConfig(epochs=10, image_sizes=(32, 48, 64), image_size_shares=(0.2, 0.4, 0.4))
    assert [config.image_size_at(e) for e in range(10)] == [32] * 2 + [48] * 4 + [64] * 4


@pytest.mark.parametrize("epochs", [1, 2, 3, 64])
def test_a_run_however_short_ends_at_the_checkpoint_s_image_size(epochs):
    assert TrainConfig(epochs=epochs).image_size_at(epochs - 1) == 96


def test_best_epoch_is_sought_at_the_final_image_size():
    rows = [
        dict(epoch=1, image_size=48, validation_accuracy=0.9),
        dict(epoch=2, image_size=64, validation_accuracy=0.5),
        dict(epoch=3, image_size=64, validation_accuracy=0.6),
    ]
    assert run_folder.best_row(rows)["epoch"] == 3


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (dict(epochs=0), "epochs must be above 0, not 0"),
        (dict(image_sizes=(32, 64)), "image_sizes has 2 and image_size_shares 4 entries"),
        (dict(image_sizes=(48,), image_size_shares=(0.0,)), "image_size_shares must be 0 or more"),
        (dict(vote_share=25), "vote_share is a share of 1, not 25"),
        (dict(erasing=-0.1), r"erasing is a share of 1, not -0\.1"),
        (dict(limit=0), "limit must be 1 or more, not 0"),
        (dict(epochs=8, frozen_epochs=8), "frozen_epochs is 8: it must be below epochs, 8"),
    ],
)
def test_impossible_recipe_is_refused(wrong, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**wrong)


def test_fine_tuning_has_its_own_recipe():
    assert TrainConfig.for_init("scratch") == TrainConfig()
    fine_tuning = TrainConfig.for_init("imagenet", epochs=3)
    assert fine_tuning.epochs == 3
    assert fine_tuning.frozen_epochs == 1
    assert fine_tuning.layer_decay < 1


def test_augmentation_keeps_shape_and_range_and_is_repeatable():
    images = torch.rand(16, 1, 48, 48)
    module = augment.build_augmentation(strength=1.0, erasing=1.0)
    torch.manual_seed(3)
    one = module(images)
    torch.manual_seed(3)
    assert torch.equal(module(images), one)
    assert one.shape == images.shape
    assert one.min() >= 0 and one.max() <= 1
    assert not torch.allclose(one[0], one[1])


def test_glasses_darken_the_eyes_of_their_share_and_nothing_else():
    images = torch.ones(400, 1, 96, 96)
    torch.manual_seed(0)
    worn = augment.Glasses(0.25)(images)
    with_glasses = (worn < 1).flatten(1).any(dim=1)
    assert with_glasses.float().mean() == pytest.approx(0.25, abs=0.07)
    dark = (worn < 1).float().mean(dim=0)[0]
    assert dark[:18].sum() == 0 and dark[56:].sum() == 0  # forehead; nose, cheeks and mouth
    torch.testing.assert_close(dark, dark.flip(1), atol=0.06, rtol=0)
    assert torch.equal(augment.Glasses(0.0)(images), images)


def test_a_run_that_goes_on_draws_other_batches_than_the_one_before(parts, tiny_checkpoint):
    fresh, *again = [
        loop.prepare(TrainConfig(**{**SMALL, "init": init}), parts)
        for init in ("scratch", str(tiny_checkpoint), str(tiny_checkpoint))
    ]
    first, *others = [torch.cat(list(run.loaders["train"])).tolist() for run in (fresh, *again)]
    assert others[0] == others[1] != first
    assert again[0].seed == again[1].seed != fresh.seed


def test_augmentation_never_turns_a_face_upside_down():
    images = torch.linspace(0, 1, 48).view(1, 1, 48, 1).expand(64, 1, 48, 48)  # dark above
    torch.manual_seed(0)
    augmented = augment.build_augmentation(strength=1.0, erasing=0.0)(images)
    top, bottom = augmented[:, :, :24].mean(dim=(1, 2, 3)), augmented[:, :, 24:].mean(dim=(1, 2, 3))
    assert (top < bottom).all()


def test_normalised_input_is_gray_in_three_equal_channels():
    inputs = augment.normalize(torch.full((2, 1, 8, 8), 0.75))
    assert inputs.shape == (2, 3, 8, 8)
    assert torch.equal(inputs, torch.ones(2, 3, 8, 8))
    assert inputs.is_contiguous(memory_format=torch.channels_last)


def command(source: Path, output: Path, *more: str) -> list[str]:
    options = [
        "--init",
        "scratch",
        "--arch",
        "test_resnet",
        "--epochs",
        "4",
        "--batch-size",
        "24",
        "--seed",
        "1",
    ]
    sizes = ["--image-sizes", "32", "--image-size-shares", "1"]
    arguments = ["train", "--data", str(source), "--output", str(output), *options, *sizes, *more]
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
    one = load_file(tmp_path / "whole" / "model.safetensors")
    other = load_file(tmp_path / "killed" / "model.safetensors")
    assert all(torch.equal(one[name], other[name]) for name in one)


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
            from emotion_detective.training import data, loop
            from emotion_detective.training.recipe import TrainConfig
            training.EVALUATION_BATCH = 5
            config, parts = TrainConfig(**{small!r}), data.load({str(source)!r})
            run = training.prepare(config, parts)
            measured = training._validate(run, 0)
            seen = [run.accelerator.gather(i).tolist() for i in run.loaders["train"]]
            _, rows = training.train(config, parts, pathlib.Path({str(tmp_path / "run")!r}))
            if training.is_main_process():
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
    monkeypatch.setattr(loop, "EVALUATION_BATCH", 5)
    alone = loop._validate(loop.prepare(TrainConfig(**small), parts), 0)
    assert measured == pytest.approx(alone, rel=1e-5)
    # What two processes measured after training is what the weights do that they left.
    run = loop.prepare(TrainConfig(**small), parts)
    run.ema.module.load_state_dict(load_file(tmp_path / "run" / run_folder.BEST_WEIGHTS_FILE))
    alone = loop._validate(run, 0)
    assert {name: row[name] for name in alone} == pytest.approx(alone, rel=1e-5)
