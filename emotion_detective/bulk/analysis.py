"""A folder or zip of pictures or a Hub dataset, however large -> parquet files, one row a face.

    python train_hub.py analyze --model DIR_OR_REPO --data FOLDER_ZIP_OR_HUB_ID --output DIR
    torchrun --nnodes 2 ... train_hub.py analyze ...     # the same on each of two machines
    pandas.read_parquet("DIR")

The rows are those of `/analyze_batch` (`Row`). The pictures are divided into shards, one file
each, which machines and their processes share. A file appears under its name once it is whole: a
run that was killed continues with the missing shards.
"""

import hashlib
import json
import logging
import multiprocessing
import os
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import datasets
import torch
from tqdm.auto import tqdm

from emotion_detective import LABELS
from emotion_detective.core.checkpoint import write_whole
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.core.loading import load_classifier
from emotion_detective.core.rows import SCHEMA_VERSION, Row, analyzed_rows
from emotion_detective.data import sources
from emotion_detective.data.listing import ZIP_ERRORS, Files
from emotion_detective.engines.runtime import share_device
from emotion_detective.files import MAX_FILE_BYTES

logger = logging.getLogger(__name__)

# What is done is written each minute or so; a million pictures become four thousand files.
MIN_SHARD, MAX_SHARD = 20, 250
# Readers of a folder of parquet pass over names that start like this.
PLAN_FILE = "_analysis.json"
FEATURES = datasets.Features(
    file=datasets.Value("string"),
    status=datasets.Value("string"),
    reason=datasets.Value("string"),
    face=datasets.Value("int32"),
    box=datasets.List(datasets.Value("float32")),
    detection=datasets.Value("float32"),
    label=datasets.Value("string"),
    confidence=datasets.Value("float32"),
    unsure=datasets.Value("bool"),
    **{label: datasets.Value("float32") for label in LABELS},
)
# One file does not stop the rest; a disk that fails does.
UNREADABLE = (ValueError, PermissionError, *ZIP_ERRORS)
# Of a process that shares the work.
_writer: "ShardWriter | None" = None


def write_rows(
    model: str, source: str, output: Path, *, processes: int = 1, whole_picture: bool = False
) -> str:
    """Write the rows of all pictures of `source` into `output`, as far as they are not there yet.

    With `whole_picture` every picture is read as one face, for pictures cropped to a face already.
    Under `torchrun` or `accelerate launch` each process writes its part. Return what was done, in
    one line.
    """
    if processes < 1:
        raise ValueError(f"--processes must be 1 or more, not {processes}.")
    pictures = sources.find_pictures(source, sources.open_dataset(source), by_class=False)
    if not pictures.paths:
        raise ValueError(f"{source!r} holds no pictures.")
    classifier = load_classifier(model, device="cpu")
    if classifier.revision:  # no process must meet a newer one
        model = f"{classifier.name}@{classifier.revision}"
    writer = ShardWriter(pictures, model, whole_picture, output, processes)
    # As `torchrun` and `accelerate launch` say; nodes need not start at the same time.
    rank, nodes = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))
    _claim(output, _plan(classifier, writer), rank)
    # Of all shards, or nodes that start apart would divide what is missing.
    own = range(rank, len(writer.shards), nodes)
    missing = [shard for shard in own if not writer.path(shard).is_file()]
    begin = time.perf_counter()
    rows = _write_shards(writer, missing)
    part = f"part {rank + 1} of {nodes}: " if nodes > 1 else ""
    return (
        f"{part}{rows.total()} rows ({rows['ok']} faces, {rows['no_face']} pictures without one, "
        f"{rows['unreadable']} unreadable) in {time.perf_counter() - begin:.0f} s; "
        f"{len(own) - len(missing)} of {len(own)} shards were finished before"
    )


def _plan(classifier: Classifier, writer: "ShardWriter") -> dict:
    """Return what must be the same for a run to go on with another's shards."""
    weights = hashlib.sha256()
    for tensor in classifier.network.state_dict().values():
        weights.update(tensor.contiguous().numpy().tobytes())
    return {
        "model": classifier.name,
        "weights": weights.hexdigest(),
        "pictures": writer.pictures.key,
        "shards": len(writer.shards),
        "whole_picture": writer.whole_picture,
        "schema_version": SCHEMA_VERSION,
    }


def _claim(output: Path, plan: dict, rank: int) -> None:
    """Make `output` the folder of this plan, or refuse."""
    path = output / PLAN_FILE
    begun = list(output.glob("*.parquet"))  # looked for first: a plan is there before its files
    before = json.loads(path.read_text()) if path.is_file() else None
    if begun and before is None:
        raise ValueError(f"{output} holds parquet files and no {PLAN_FILE}: name another --output.")
    if before is None:
        output.mkdir(parents=True, exist_ok=True)
        # Each node writes the same, under a name of its own until it is whole.
        fresh = output / f".{PLAN_FILE}.{rank}"
        fresh.write_text(json.dumps(plan, indent=2) + "\n")
        os.replace(fresh, path)
    elif changed := [name for name in plan if before.get(name) != plan[name]]:
        raise ValueError(
            f"The analysis in {output} began with other {' and '.join(changed)}: repeat it as it "
            "began, or name another --output."
        )


def _write_shards(writer: "ShardWriter", missing: list[int]) -> Counter:
    """Write the missing shards, and count their rows by status."""
    rows = Counter()
    with tqdm(total=sum(len(writer.shards[i]) for i in missing), unit="picture") as bar:
        try:
            for shard, statuses in zip(missing, _run(writer, missing), strict=True):
                rows += statuses
                bar.update(len(writer.shards[shard]))
        except BrokenProcessPool as error:
            raise ValueError(
                "A process ended before its work: repeat the command, with fewer --processes if "
                "memory ran out. Finished shards are kept."
            ) from error
    return rows


def _run(writer: "ShardWriter", missing: list[int]) -> Iterator[Counter]:
    """Yield the statuses of the rows of each shard that was missing, in order."""
    processes = min(writer.processes, len(missing))
    if processes <= 1:
        yield from map(writer.write, missing)
        return
    # A fresh interpreter for each: neither CUDA nor torch's threads can be forked.
    context = multiprocessing.get_context("spawn")
    ranks = context.SimpleQueue()
    for rank in range(processes):
        ranks.put(rank)
    with ProcessPoolExecutor(processes, context, _start, (writer, ranks)) as pool:
        yield from pool.map(_write, missing)


def _start(writer: "ShardWriter", ranks: "multiprocessing.SimpleQueue") -> None:
    global _writer
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _writer = replace(writer, rank=ranks.get())


def _end_with_parent() -> None:
    """End this process as soon as its parent is gone, killed perhaps."""
    multiprocessing.parent_process().join()
    os._exit(1)


def _write(shard: int) -> Counter:
    return _writer.write(shard)


@dataclass(frozen=True)
class ShardWriter:
    """What a process needs to write any shard; `rank` is its own among `processes`."""

    pictures: Files
    model: str
    whole_picture: bool
    output: Path
    processes: int
    rank: int = 0

    @cached_property
    def shards(self) -> list[range]:
        """Which pictures are each shard's."""
        count = len(self.pictures.paths)
        size = min(max(MIN_SHARD, count // 1000), MAX_SHARD)
        return [range(i, min(i + size, count)) for i in range(0, count, size)]

    def path(self, shard: int) -> Path:
        """Return where the rows of a shard belong."""
        return self.output / f"part-{shard:05d}-of-{len(self.shards):05d}.parquet"

    @cached_property
    def detective(self) -> EmotionDetective:
        """The detective of this process, beside the others of this machine."""
        datasets.disable_progress_bars()  # one bar is enough
        beside = self.processes * int(os.environ.get("LOCAL_WORLD_SIZE", 1))
        if beside > 1:  # a process of its own: else the threads are the caller's
            torch.set_num_threads(max(1, (os.cpu_count() or 1) // beside))
        rank = int(os.environ.get("LOCAL_RANK", 0)) * self.processes + self.rank
        return EmotionDetective.from_pretrained(self.model, device=share_device(rank))

    def write(self, shard: int) -> Counter:
        """Analyze the pictures of a shard, write their rows, and count these by status."""
        pictures, indices = self.pictures, self.shards[shard]
        rows = list(analyze_files(self.detective, pictures, indices, self.whole_picture))
        table = datasets.Dataset.from_list(rows, features=FEATURES)
        write_whole(self.path(shard), table.to_parquet)
        return Counter(row["status"] for row in rows)


def analyze_files(
    detective: EmotionDetective, pictures: Files, indices: range, whole_picture: bool = False
) -> Iterator[Row]:
    """Yield the rows of pictures in order, with one of a picture that cannot be read."""
    errors: dict[int, str] = {}

    def read(i: int) -> bytes:
        try:
            with pictures.open(i) as file:
                return file.read(MAX_FILE_BYTES + 1)
        except UNREADABLE as error:
            errors[i] = str(error)
            return b""

    analyzed = detective.analyze_many(map(read, indices), whole_picture)
    for i, one in zip(indices, analyzed, strict=True):
        name = pictures.paths[i]
        if one.notice:
            logger.warning("%s: %s", name, one.notice)
        yield from analyzed_rows(name, replace(one, error=errors.get(i, one.error)))
