"""The files of a training run, from which it goes on wherever it is killed.

The recipe that it began with, a row of numbers an epoch, the weights of the best epoch and the
state of the last one: all that `loop.train` needs to resume to the same result. Each file is whole
or absent whenever the run is killed.
"""

import json
import logging
import math
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from accelerate import Accelerator
from filelock import FileLock, Timeout
from safetensors import SafetensorError
from safetensors.torch import save_model
from torch import nn

from emotion_detective.core.checkpoint import write_whole
from emotion_detective.core.hub import first_line

logger = logging.getLogger(__name__)

STATE_PREFIX = "state_"  # and the number of finished epochs
HALF_STATE = "unfinished_state"  # one that is being written or deleted
BEST_WEIGHTS_FILE = "best.safetensors"
HISTORY_FILE = "metrics.jsonl"
CONFIG_FILE = "train_config.json"
LOCK_FILE = ".lock"
# What `export.py` and the card add to the folder of a finished run.
RESULT_FILES = ("config.json", "model.safetensors", "metrics.json", "README.md")
# What safetensors, torch.save and others raise where a disk is full or cannot be written.
WRITE_ERRORS = (SafetensorError, RuntimeError, OSError)
# On a GPU an epoch takes two seconds, and writing the state of a ResNet-50, 400 MB, half a second.
STATES_A_RUN = 50


def best_row(rows: list[dict]) -> dict:
    """Return the best row on validation at the image size of the last one.

    It has the highest accuracy or, where there are votes, the highest mean of the accuracy and the
    agreement with the voters' majority.
    """
    at_last_size = [row for row in rows if row["image_size"] == rows[-1]["image_size"]]
    return max(
        at_last_size,
        key=lambda row: row["validation_accuracy"] + row.get("validation_agreement", 0.0),
    )


@contextmanager
def claim(accelerator: Accelerator, record: dict, output: Path, resume: bool) -> Iterator[None]:
    """Have `output` for this run alone inside the block.

    A resumed run must have begun with the same `record`: `config`, the recipe as plain values, and
    `learned_from`, the numbers of images.
    """
    lock = FileLock(output / LOCK_FILE)
    if accelerator.is_main_process:
        check_free(output, resume)
        _claim(lock, record, output)
    try:
        yield
    finally:
        lock.release()


def check_free(output: Path, resume: bool) -> None:
    """Refuse a folder that holds a run, or files that training would overwrite."""
    if resume:
        if not (output / CONFIG_FILE).is_file():
            raise ValueError(f"There is no run to resume in {output}: start one without --resume.")
        return
    if _list_states(output) or (output / HISTORY_FILE).is_file():
        raise ValueError(f"{output} holds a run already: add --resume, or name another --output.")
    if there := [name for name in RESULT_FILES if (output / name).exists()]:
        raise ValueError(
            f"{output} holds {', '.join(there)}, which training would overwrite: name another "
            "--output."
        )


def _claim(lock: FileLock, record: dict, output: Path) -> None:
    output.mkdir(parents=True, exist_ok=True)
    try:
        lock.acquire(blocking=False)  # until the process ends, however it ends
    except Timeout as error:
        raise ValueError(
            f"Another run is training in {output}: wait for it, or name another --output."
        ) from error
    text = json.dumps(record, indent=2) + "\n"
    if _list_states(output):
        _refuse_other(json.loads(text), output)
    elif (output / HISTORY_FILE).is_file():  # whose states are removed at its end
        raise ValueError(f"The run in {output} is finished: to train again name another --output.")
    elif (output / CONFIG_FILE).is_file():
        logger.info("No epoch of the run in %s was finished: it begins anew.", output)
    write_whole(output / CONFIG_FILE, lambda fresh: fresh.write_text(text))


def _refuse_other(now: dict, output: Path) -> None:
    before = json.loads((output / CONFIG_FILE).read_text())
    now, before = (record["config"] | record["learned_from"] for record in (now, before))
    for name, value in now.items():
        if before.get(name) != value:
            raise ValueError(
                f"The run in {output} began with {name}={before.get(name)}, not {value}: resume it "
                "with the options it was started with, or name another --output."
            )


def restore(accelerator: Accelerator, output: Path) -> list[dict]:
    """Load the last saved state, if any, into what `accelerator` prepared; return its rows."""
    states = _list_states(output)
    if not states:
        return []
    accelerator.load_state(str(states[-1]))
    lines = (states[-1] / HISTORY_FILE).read_text().splitlines()
    return [json.loads(line) for line in lines]


def save_epoch(
    accelerator: Accelerator, rows: list[dict], network: nn.Module, epochs: int, output: Path
) -> None:
    """Write the network's weights if its epoch is the best, and the state with its rows.

    In a run of many epochs a state is written after some of them. A whole one is on disk whenever
    the process is killed.
    """
    try:
        if best_row(rows) is rows[-1] and accelerator.is_main_process:
            write_whole(output / BEST_WEIGHTS_FILE, lambda path: save_model(network, path))
        if len(rows) % math.ceil(epochs / STATES_A_RUN) == 0 or len(rows) == epochs:
            _write_state(accelerator, rows, output)
    except WRITE_ERRORS as error:
        raise ValueError(
            f"Epoch {len(rows)} could not be written to {output} ({first_line(error)}). "
            "Make room there and go on with --resume."
        ) from error


def _write_state(accelerator: Accelerator, rows: list[dict], output: Path) -> None:
    fresh, before = output / HALF_STATE, _list_states(output)
    if accelerator.is_main_process:
        shutil.rmtree(fresh, ignore_errors=True)
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
        shutil.rmtree(state.rename(output / HALF_STATE))
    for name in (LOCK_FILE, BEST_WEIGHTS_FILE):
        (output / name).unlink(missing_ok=True)
