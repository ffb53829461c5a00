"""What goes wrong around us: full and read-only disks, and kills at any moment.

Faults of the Hub are in `test_loading.py` (pull) and `test_hub.py` (push), broken and foreign
checkpoints in `test_loading.py`, hostile files in `test_hostile.py`.
"""

import math
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from hub_server import Hub
from measured import measured_checkpoint
from safetensors.torch import load_file
from small import ROOT, SMALL_OPTIONS, SMALL_RUN

import train_hub
from emotion_detective.core import checkpoint
from emotion_detective.publish import card
from emotion_detective.training import loop, run_folder
from emotion_detective.training.recipe import TrainConfig

pytest_plugins = ["hub_server"]

CONFIG = TrainConfig(**SMALL_RUN, epochs=3, learning_rate=3e-3, limit=96)
TIMEOUT_S = 300


@pytest.fixture(autouse=True)
def every_epoch_is_written(monkeypatch):
    """Write after each epoch, however busy the disk is."""
    monkeypatch.setattr(run_folder, "SHORT_WRITING_S", math.inf)


@pytest.fixture(scope="module")
def undisturbed(parts, tmp_path_factory) -> dict[str, torch.Tensor]:
    """The weights of a run that nothing happened to."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    loop.train(CONFIG, parts, folder)
    return load_file(folder / run_folder.BEST_WEIGHTS_FILE)


def resumed_exactly(parts, folder: Path, undisturbed: dict[str, torch.Tensor]) -> bool:
    """Resume the run in `folder`; True if its weights are those of a run without a fault."""
    loop.train(CONFIG, parts, folder, resume=True)
    weights = load_file(folder / run_folder.BEST_WEIGHTS_FILE)
    return all(torch.equal(weights[name], tensor) for name, tensor in undisturbed.items())


# Kills


class Killed(BaseException):
    """What no code can handle, like SIGKILL."""


def mortal(monkeypatch, dies_at: int) -> Callable[[], int]:
    """Kill at the n-th step of writing, with what it writes done by halves; return the count."""
    steps = 0

    def step(action: Callable, spoil: Callable) -> Callable:
        def run(*arguments, **options):
            nonlocal steps
            steps += 1
            if steps - 1 != dies_at:
                return action(*arguments, **options)
            spoil(action, *arguments)
            raise Killed

        return run

    def never(action, *arguments) -> None:
        """What a rename does when it is killed: nothing."""

    def cut(save, weights, path) -> None:
        save(weights, path)
        Path(path).write_bytes(Path(path).read_bytes()[:100])

    def incomplete(save, accelerator, folder) -> None:
        save(accelerator, folder)
        next(Path(folder).glob("*.bin")).unlink()

    def cut_text(write, history, path) -> None:
        path.write_text('{"epoch": ')

    def incomplete_removal(remove, folder) -> None:
        next((path for path in Path(folder).rglob("*") if path.is_file()), Path("-")).unlink(True)

    removal = SimpleNamespace(rmtree=step(run_folder.shutil.rmtree, incomplete_removal))
    monkeypatch.setattr(run_folder, "shutil", removal)
    renaming = SimpleNamespace(replace=step(run_folder.os.replace, never))
    monkeypatch.setattr(run_folder, "os", renaming)
    monkeypatch.setattr(checkpoint, "os", renaming)
    monkeypatch.setattr(run_folder, "save_file", step(run_folder.save_file, cut))
    monkeypatch.setattr(Accelerator, "save_state", step(Accelerator.save_state, incomplete))
    monkeypatch.setattr(run_folder.History, "write", step(run_folder.History.write, cut_text))
    return lambda: steps


# Steps of writing: the recipe takes one, an epoch seven or eight.
@pytest.mark.slow
@pytest.mark.parametrize("dies_at", range(15))
def test_a_run_killed_at_any_step_of_writing_resumes_exactly(
    parts, tmp_path, monkeypatch, undisturbed, dies_at
):
    with monkeypatch.context() as patch:
        steps = mortal(patch, dies_at)
        with pytest.raises(Killed):
            loop.train(CONFIG, parts, tmp_path / "run")
        assert steps() == dies_at + 1
    if dies_at == 0:  # nothing was begun: the same command starts it
        assert not (tmp_path / "run" / run_folder.CONFIG_FILE).exists()
        loop.train(CONFIG, parts, tmp_path / "run")
    assert resumed_exactly(parts, tmp_path / "run", undisturbed)


@pytest.mark.slow
def test_a_push_killed_in_the_middle_can_be_repeated(hub_here: Hub, tiny_checkpoint, tmp_path):
    folder = measured_checkpoint(tiny_checkpoint, tmp_path / "measured")
    hub_here.fail("POST .*/commit/", "slow", seconds=TIMEOUT_S)
    command = [str(ROOT / "train_hub.py"), "push", "--model", str(folder), "--repo-id", "user/tiny"]
    process = subprocess.Popen([sys.executable, *command], env=hub_here.env(tmp_path / "home"))
    deadline = time.monotonic() + TIMEOUT_S
    while not any("/commit/" in request for request in hub_here.requests):
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.1)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert "model.safetensors" not in hub_here.store.repo("user/tiny").files
    card.push(folder, "user/tiny")
    repo = hub_here.store.repo("user/tiny")
    assert "model.safetensors" in repo.files
    assert repo.tags == {"v1": repo.head}


# Disks


def mounted(folder: Path, options: str) -> Iterator[Path]:
    """Mount a small disk of its own, or skip."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", options, "none", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a disk can be mounted by root only")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path) -> Iterator[Path]:
    """A disk of forty megabytes: an epoch of the tiny network takes six at most."""
    yield from mounted(tmp_path / "small", "size=40m")


@pytest.fixture
def read_only_disk(tmp_path) -> Iterator[Path]:
    """A disk that nothing can be written to."""
    yield from mounted(tmp_path / "read-only", "ro")


@pytest.mark.slow
@pytest.mark.parametrize("free_kb", [0, 1000, 2000, 3000])
def test_a_disk_that_is_full_costs_no_epoch(parts, small_disk, undisturbed, monkeypatch, free_kb):
    """The disk fills up after the first epoch; with room again the run goes on to its result."""
    ballast = small_disk / "ballast"
    save_epoch = run_folder.save_epoch

    def filling(accelerator, history, best, output) -> None:
        if len(history.rows) == 2:
            free = run_folder.shutil.disk_usage(small_disk).free - 1024 * free_kb
            ballast.write_bytes(bytes(max(0, free)))
        save_epoch(accelerator, history, best, output)

    monkeypatch.setattr(run_folder, "save_epoch", filling)
    with pytest.raises(ValueError, match=r"^Epoch 2 could not be written .*\(.*--resume\.$"):
        loop.train(CONFIG, parts, small_disk / "run")
    ballast.unlink()
    monkeypatch.setattr(run_folder, "save_epoch", save_epoch)
    assert resumed_exactly(parts, small_disk / "run", undisturbed)


def test_a_disk_that_cannot_be_written_is_one_line(source, read_only_disk, capsys):
    arguments = ["train", "--data", str(source), "--output", str(read_only_disk / "run")]
    assert train_hub.main([*arguments, *SMALL_OPTIONS, "--init", "scratch"]) == 2
    said = capsys.readouterr().err
    last = said.splitlines()[-1]
    assert last.startswith("train_hub.py train: ") and "Read-only file system" in last
    assert "Traceback" not in said
