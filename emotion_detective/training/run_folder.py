"""The files of a training run, from which it goes on wherever it is killed.

The recipe that it began with, a row of numbers an epoch, the weights of the best epoch and the
state of the last one: all that `loop.train` needs to resume to the same result. Each file is whole
or absent whenever the run is killed.
"""

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list
from safetensors import SafetensorError
from safetensors.torch import save_file

from emotion_detective.core.checkpoint import write_whole
from emotion_detective.core.hub import first_line

STATE_PREFIX = "state_"  # and the number of finished epochs
BEST_WEIGHTS_FILE = "best.safetensors"
HISTORY_FILE = "metrics.jsonl"
CONFIG_FILE = "train_config.json"
TEACHER_FILE = "teacher_{:08x}.safetensors"
# What safetensors, torch.save and others raise where a disk is full or cannot be written.
WRITE_ERRORS = (SafetensorError, RuntimeError, OSError)
# The largest fraction of a run's time that is spent on writing. On a GPU an epoch takes two
# seconds, and writing the state of a ResNet-50, 400 MB, half a second.
WRITING_FRACTION = 0.05
# Writing that takes less is always done.
SHORT_WRITING_S = 0.1


def best_row(rows: list[dict]) -> dict:
    """Return the row with the highest validation accuracy at the image size of the last one."""
    at_last_size = [row for row in rows if row["image_size"] == rows[-1]["image_size"]]
    return max(at_last_size, key=lambda row: row["validation_accuracy"])


def claim(
    accelerator: Accelerator, config: dict, learned_from: dict, output: Path, resume: bool
) -> None:
    """Make `output` this run's folder, or raise in all processes alike.

    A resumed run must have begun with the same `config` (the recipe as plain values) and the same
    `learned_from` (numbers of images, checksums of votes and teacher).
    """
    problem = [None]
    if accelerator.is_main_process:
        text = json.dumps({"config": config, "learned_from": learned_from}, indent=2) + "\n"
        problem = [_find_problem(json.loads(text), output, resume)]
        if problem == [None]:
            output.mkdir(parents=True, exist_ok=True)
            write_whole(output / CONFIG_FILE, lambda fresh: fresh.write_text(text))
    broadcast_object_list(problem)
    if problem[0]:
        raise ValueError(problem[0])


def _find_problem(now: dict, output: Path, resume: bool) -> str | None:
    path = output / CONFIG_FILE
    if not path.is_file():
        missing = f"There is no run to resume in {output}: start one without --resume."
        return missing if resume else None
    history = output / HISTORY_FILE
    done = len(history.read_text().splitlines()) if history.is_file() else 0
    if not done and not _list_states(output):
        return None  # it ended within its first epoch: nothing can be lost
    if not resume:
        return f"{output} holds a run already: add --resume, or name another --output."
    before = json.loads(path.read_text())
    now, before = (record["config"] | record["learned_from"] for record in (now, before))
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        name = changed[0]
        return (
            f"The run in {output} began with {name}={before.get(name)}, not {now[name]}: resume it "
            "with the options it was started with, or name another --output."
        )
    if done == now["epochs"] and not _list_states(output):
        return f"The run in {output} is finished: to train again name another --output."
    return None


def restore(accelerator: Accelerator, output: Path) -> list[dict]:
    """Load the last saved state, if any, into what `accelerator` prepared; return its rows."""
    states = _list_states(output)
    if not states:
        return []
    accelerator.load_state(str(states[-1]))
    lines = (states[-1] / HISTORY_FILE).read_text().splitlines()
    return [json.loads(line) for line in lines]


class Pace:
    """Decides after which epochs to write: all, or fewer where writing would take too much time."""

    def __init__(self) -> None:
        self.written, self.seconds = time.monotonic(), 0.0

    def is_due(self) -> bool:
        """Return, in all processes alike, whether writing keeps within its fraction of the time."""
        allowed = WRITING_FRACTION * (time.monotonic() - self.written)
        return broadcast_object_list([self.seconds <= max(allowed, SHORT_WRITING_S)])[0]

    @contextmanager
    def timed(self) -> Iterator[None]:
        """Measure the time of the writing inside the block."""
        begin = time.monotonic()
        yield
        self.written = time.monotonic()
        self.seconds = self.written - begin


def save_epoch(
    accelerator: Accelerator, rows: list[dict], best: dict[str, torch.Tensor], output: Path
) -> None:
    """Write rows, state and `best`, the weights of the best epoch; {} if they are on disk.

    A whole state with its rows is on disk whenever the process is killed.
    """
    try:
        _write_epoch(accelerator, rows, best, output)
    except WRITE_ERRORS as error:
        raise ValueError(
            f"Epoch {len(rows)} could not be written to {output} ({first_line(error)}). "
            "Make room there and go on with --resume."
        ) from error


def _write_epoch(
    accelerator: Accelerator, rows: list[dict], best: dict[str, torch.Tensor], output: Path
) -> None:
    fresh, before = output / "unfinished_state", _list_states(output)
    if accelerator.is_main_process:
        shutil.rmtree(fresh, ignore_errors=True)
        if best:
            write_whole(output / BEST_WEIGHTS_FILE, lambda path: save_file(best, path))
    accelerator.wait_for_everyone()
    accelerator.save_state(str(fresh))
    accelerator.wait_for_everyone()
    if accelerator.is_main_process:
        lines = "".join(json.dumps(row) + "\n" for row in rows)
        (fresh / HISTORY_FILE).write_text(lines)
        os.replace(fresh, output / f"{STATE_PREFIX}{len(rows):04d}")
        for state in before:
            shutil.rmtree(state)
        write_whole(output / HISTORY_FILE, lambda path: path.write_text(lines))
    accelerator.wait_for_everyone()


def _list_states(output: Path) -> list[Path]:
    """Return the saved states, the latest last; there is more than one only after a kill."""
    return sorted(output.glob(f"{STATE_PREFIX}*"))


def remove_state(output: Path) -> None:
    """Delete the files that only `--resume` needs, hundreds of megabytes, of a finished run."""
    for state in _list_states(output):
        shutil.rmtree(state)
    for path in (output / BEST_WEIGHTS_FILE, *output.glob("teacher_*.safetensors")):
        path.unlink(missing_ok=True)
