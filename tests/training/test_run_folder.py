"""A run's folder: taken once, resumed to the same result wherever the run stopped, never lost."""

import logging
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small import ROOT, SMALL_OPTIONS, SMALL_RUN

import train_hub
from emotion_detective.training import loop, run_folder
from emotion_detective.training.recipe import TrainConfig
from emotion_detective.training.run_folder import BEST_WEIGHTS_FILE, HISTORY_FILE

CONFIG = TrainConfig(**SMALL_RUN, epochs=3, learning_rate=1e-2, ema_decay=0.5, limit=120)


@pytest.fixture(scope="module")
def whole(parts, tmp_path_factory) -> tuple[Path, list[dict]]:
    """The folder and the rows of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    return folder, loop.train(CONFIG, parts, folder)[1]


def without_times(rows: list[dict]) -> list[dict]:
    return [{name: row[name] for name in row if "second" not in name} for row in rows]


def assert_same_weights(one: Path, other: Path) -> None:
    weights = load_file(other)
    assert all(torch.equal(tensor, weights[name]) for name, tensor in load_file(one).items())


def assert_resumes_exactly(parts, folder: Path, whole: tuple[Path, list[dict]]) -> None:
    _, rows = loop.train(CONFIG, parts, folder, resume=True)
    assert without_times(rows) == without_times(whole[1])
    assert_same_weights(folder / BEST_WEIGHTS_FILE, whole[0] / BEST_WEIGHTS_FILE)


class Killed(BaseException):
    """What no code can handle, like SIGKILL."""


def cut_weights(save: Callable, network: torch.nn.Module, path: Path) -> None:
    save(network, path)
    path.write_bytes(path.read_bytes()[:100])


def cut_state(save: Callable, accelerator: Accelerator, folder: str) -> None:
    save(accelerator, folder)
    next(Path(folder).glob("*.bin")).unlink()


def rename_half(write: Callable, path: Path, fill: Callable) -> None:
    fill(path.with_name(f".{path.name}.unfinished"))


@pytest.mark.parametrize(
    ("owner", "name", "cut", "call"),
    [
        (run_folder, "save_model", cut_weights, 2),
        (Accelerator, "save_state", cut_state, 2),
        (run_folder, "write_whole", rename_half, 4),  # after recipe, weights and rows
    ],
)
def test_a_run_killed_while_it_writes_resumes_exactly(
    parts, tmp_path, monkeypatch, whole, owner, name, cut, call
):
    write, calls = getattr(owner, name), []

    def killed_after_an_epoch(*arguments):
        calls.append(name)
        if len(calls) < call:
            return write(*arguments)
        cut(write, *arguments)
        raise Killed

    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(owner, name, killed_after_an_epoch)
        loop.train(CONFIG, parts, tmp_path / "run")
    assert 1 <= len((tmp_path / "run" / HISTORY_FILE).read_text().splitlines()) < CONFIG.epochs
    assert_resumes_exactly(parts, tmp_path / "run", whole)


@pytest.mark.slow
def test_a_killed_process_resumes_to_the_same_checkpoint(source, tmp_path):
    words = ["train", "--data", str(source), "--init", "scratch", "--epochs", "4", *SMALL_OPTIONS]
    killed = [*words, "--output", str(tmp_path / "killed")]
    command = [sys.executable, str(ROOT / "train_hub.py"), *killed]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    history = tmp_path / "killed" / HISTORY_FILE
    while not (history.is_file() and history.read_text()):
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert train_hub.main([*killed, "--resume"]) == 0
    assert train_hub.main([*words, "--output", str(tmp_path / "whole")]) == 0
    assert_same_weights(*(tmp_path / run / "model.safetensors" for run in ("whole", "killed")))


def test_a_run_of_many_epochs_goes_on_from_its_last_state(parts, whole, tmp_path, monkeypatch):
    train_epoch = loop._train_epoch

    def killed_in_the_third_epoch(run, epoch):
        if epoch == 2:
            raise Killed
        return train_epoch(run, epoch)

    monkeypatch.setattr(run_folder, "STATES_A_RUN", 2)
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(loop, "_train_epoch", killed_in_the_third_epoch)
        loop.train(CONFIG, parts, tmp_path / "run")
    assert [path.name for path in (tmp_path / "run").glob("state_*")] == ["state_0002"]
    assert_resumes_exactly(parts, tmp_path / "run", whole)


def test_occupied_folder_is_refused_and_kept(parts, whole):
    before = {path: path.stat().st_mtime_ns for path in whole[0].rglob("*")}
    with pytest.raises(ValueError, match="holds a run already: add --resume"):
        loop.train(CONFIG, parts, whole[0])
    assert {path: path.stat().st_mtime_ns for path in whole[0].rglob("*")} == before


def test_two_runs_do_not_share_a_folder_within_their_first_epoch(parts, tmp_path, monkeypatch):
    def second_run(run, epoch):
        loop.train(CONFIG, parts, tmp_path / "run")

    monkeypatch.setattr(loop, "_train_epoch", second_run)
    with pytest.raises(ValueError, match=r"Another run is training in .*: wait for it, or name"):
        loop.train(CONFIG, parts, tmp_path / "run")


def test_a_file_of_somebody_else_is_not_overwritten(tmp_path):
    (tmp_path / "README.md").write_text("mine")
    with pytest.raises(ValueError, match=r"holds README\.md, which training would overwrite"):
        run_folder.check_free(tmp_path, resume=False)


def test_a_run_without_a_whole_epoch_can_begin_again_with_other_options(parts, tmp_path, caplog):
    wrong = TrainConfig(**SMALL_RUN, drop_path=0.0, init="no/where/at/all", epochs=1)
    with pytest.raises(ValueError, match="No folder"):
        loop.train(wrong, parts, tmp_path / "run")
    with caplog.at_level(logging.INFO):
        config = TrainConfig(**SMALL_RUN, epochs=1)
        _, rows = loop.train(config, parts, tmp_path / "run", resume=True)
    assert len(rows) == 1
    assert "No epoch of the run in" in caplog.text


def test_resume_with_another_recipe_or_other_data_names_the_difference(parts, whole):
    with pytest.raises(ValueError, match="began with epochs=3, not 2"):
        loop.train(TrainConfig(**SMALL_RUN, epochs=2), parts, whole[0], resume=True)
    other = parts | {"validation": parts["validation"].select(range(20))}
    with pytest.raises(ValueError, match="began with validation_images=24, not 20"):
        loop.train(CONFIG, other, whole[0], resume=True)


def test_a_finished_run_is_not_trained_once_more(parts, whole, tmp_path, monkeypatch):
    def killed_while_it_deletes(folder):
        next(folder.glob("*.bin")).unlink()
        raise Killed

    folder = shutil.copytree(whole[0], tmp_path / "run")
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(shutil, "rmtree", killed_while_it_deletes)
        run_folder.remove_state(folder)
    with pytest.raises(ValueError, match="is finished: to train again name another --output"):
        loop.train(CONFIG, parts, folder, resume=True)


def test_resume_without_a_run_says_so(parts, tmp_path):
    with pytest.raises(ValueError, match="no run to resume"):
        loop.train(CONFIG, parts, tmp_path / "nothing", resume=True)


@pytest.fixture
def mount(tmp_path) -> Iterator[Callable[[str], Path]]:
    """Mount a disk of its own with the options given, or skip."""
    disk = tmp_path / "disk"
    disk.mkdir()

    def mount(options: str) -> Path:
        command = ["mount", "-t", "tmpfs", "-o", options, "none", str(disk)]
        if subprocess.run(command, capture_output=True).returncode:
            pytest.skip("a disk can be mounted by root only")
        return disk

    yield mount
    subprocess.run(["umount", str(disk)])


def test_a_disk_that_is_full_costs_no_epoch(parts, mount, whole, monkeypatch):
    """The disk fills up after the first epoch; with room again the run goes on to its result."""
    disk = mount("size=40m")  # an epoch of the tiny network takes six at most
    ballast, save_epoch = disk / "ballast", run_folder.save_epoch

    def fill(accelerator, rows, *rest) -> None:
        if len(rows) == 2:
            ballast.write_bytes(bytes(shutil.disk_usage(disk).free - 2_000_000))
        save_epoch(accelerator, rows, *rest)

    with (
        monkeypatch.context() as patch,
        pytest.raises(ValueError, match=r"^Epoch 2 could not be written .*\(.*--resume\.$"),
    ):
        patch.setattr(run_folder, "save_epoch", fill)
        loop.train(CONFIG, parts, disk / "run")
    ballast.unlink()
    assert_resumes_exactly(parts, disk / "run", whole)


def test_a_disk_that_cannot_be_written_is_one_line(source, mount, capsys):
    arguments = ["train", "--data", str(source), "--output", str(mount("ro") / "run")]
    assert train_hub.main([*arguments, *SMALL_OPTIONS, "--init", "scratch"]) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("train_hub.py train: ") and "Read-only file system" in last


def test_best_epoch_is_sought_at_the_final_size_by_labels_and_voters_alike():
    rows = [
        dict(epoch=1, image_size=48, validation_accuracy=0.9, validation_agreement=0.9),
        dict(epoch=2, image_size=64, validation_accuracy=0.7, validation_agreement=0.7),
        dict(epoch=3, image_size=64, validation_accuracy=0.6, validation_agreement=0.9),
        dict(epoch=4, image_size=64, validation_accuracy=0.5, validation_agreement=0.95),
    ]
    assert run_folder.best_row(rows)["epoch"] == 3
