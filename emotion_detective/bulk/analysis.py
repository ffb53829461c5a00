"""A folder of pictures or a Hub dataset, however large -> parquet files, one row a face.

    python train_hub.py analyze --model DIR_OR_REPO --data FOLDER_OR_HUB_ID --output DIR
    torchrun --nnodes 2 ... train_hub.py analyze ...     # the same on each of two machines
    pandas.read_parquet("DIR")

The rows are those of `/analyze_batch` (`Row`). The pictures are divided into shards, one file
each; `datasets` gives each machine its part of them, and each process of a machine its part of
these. A file appears under its name once it is whole: a run that was killed goes on with the shards
that are missing. Knows no Gradio.
"""

import hashlib
import json
import math
import os
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import datasets
import multiprocess
import torch
from datasets.distributed import split_dataset_by_node

from emotion_detective import LABELS
from emotion_detective.core import hub
from emotion_detective.core.checkpoint import write_whole
from emotion_detective.core.classifier import Classifier
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.core.loading import load_classifier
from emotion_detective.core.rows import SCHEMA_VERSION, Row, file_rows, unreadable_row
from emotion_detective.data import listing
from emotion_detective.engines.runtime import share_device
from emotion_detective.files import formats

# What a kill may cost: some minutes of one core; and a million pictures become a thousand files.
SHARD_PICTURES = 1000
# Readers of a folder of parquet pass over names that start like this.
PLAN_FILE = "_analysis.json"
STATUSES = ("ok", "no_face", "unreadable")
FEATURES = datasets.Features(
    file=datasets.Value("string"),
    status=datasets.Value("string"),
    face=datasets.Value("int32"),
    box=datasets.List(datasets.Value("float32")),
    label=datasets.Value("string"),
    confidence=datasets.Value("float32"),
    **{label: datasets.Value("float32") for label in LABELS},
)
PICTURES = datasets.Features(file=datasets.Value("string"), image=datasets.Image(decode=False))


@dataclass(frozen=True)
class Node:
    """Which of the processes that share the work this is, as `torchrun` and `accelerate` say."""

    rank: int
    count: int

    @classmethod
    def from_environment(cls) -> "Node":
        """Return the only one where nobody says otherwise."""
        return cls(int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1)))


@dataclass(frozen=True)
class Report:
    """What one node did: rows by status, its seconds, and how many shards stood finished before."""

    rows: Counter
    seconds: float
    shards: int
    finished_before: int
    node: Node

    def __str__(self) -> str:
        total = self.rows.total()
        part = f"part {self.node.rank + 1} of {self.node.count}: " if self.node.count > 1 else ""
        return (
            f"{part}{total} rows ({self.rows['ok']} faces, {self.rows['no_face']} pictures without "
            f"one, {self.rows['unreadable']} unreadable) in {self.seconds:.0f} s, "
            f"{total / self.seconds:.1f} rows a second; {self.finished_before} of {self.shards} "
            "shards were finished before"
        )


def write_rows(
    model: str,
    source: str,
    output: Path,
    *,
    shards: int | None = None,
    processes: int = 1,
    whole_picture: bool = False,
) -> Report:
    """Write the rows of all pictures of `source` into `output`, as far as they are not there yet.

    A picture that cannot be read gets a row with the status unreadable. With `whole_picture` every
    picture is read as one face, for pictures cropped to a face already. Under `torchrun` or
    `accelerate launch` each process writes its part.

    Raises:
        ValueError: no such model or pictures, a count below 1, `output` holds an analysis of
            something else, or a process was killed; says what to do.
    """
    for name, count in (("shards", shards), ("processes", processes)):
        if count is not None and count < 1:
            raise ValueError(f"--{name} must be 1 or more, not {count}.")
    pictures, key = find_pictures(source)
    shards = min(shards or math.ceil(len(pictures) / SHARD_PICTURES), len(pictures))
    classifier, node = load_classifier(model, device="cpu"), Node.from_environment()
    _claim(output, _plan(classifier, key, shards, whole_picture), node)
    if classifier.revision:  # no process must meet a newer one
        model = f"{classifier.name}@{classifier.revision}"
    writer = ShardWriter(pictures, model, shards, whole_picture, output, processes)
    own = _divide(shards, node)
    missing = [shard for shard in own if not writer.path(shard).is_file()]
    begin = time.perf_counter()
    rows = _write_shards(writer, missing, processes)
    return Report(rows, time.perf_counter() - begin, len(own), len(own) - len(missing), node)


def find_pictures(source: str) -> tuple[datasets.Dataset, str]:
    """Return the pictures of a folder or Hub dataset in order, and a key that changes with them.

    Columns: `file`, the path inside the folder or split/row, and `image`, undecoded.

    Raises:
        ValueError: neither, or without pictures.
    """
    if hub.is_on_hub(source):
        return _hub_pictures(source)
    folder = Path(source)
    if not folder.is_dir():
        what = f"{source!r} is a file" if folder.is_file() else f"There is no folder {source!r}"
        raise ValueError(f"{what}: --data takes a folder of pictures or the id of a Hub dataset.")
    paths, names = listing.files(folder)
    kept = [i for i, path in enumerate(paths) if _is_picture(path, names[i])]
    if others := set(range(len(paths))).difference(kept):
        listing.warn_left_out(source, len(others), formats.NO_PICTURES, (names[i] for i in others))
    if not kept:
        raise ValueError(f"The folder {source!r} holds no pictures.")
    paths, names = [paths[i] for i in kept], [names[i] for i in kept]
    columns = {"file": names, "image": [str(path) for path in paths]}
    key = listing.hash_files(paths, names)  # a picture that is replaced changes it
    return datasets.Dataset.from_dict(columns, PICTURES), key


def _is_picture(path: Path, name: str) -> bool:
    try:
        with path.open("rb") as file:
            head = file.read(formats.HEAD_BYTES)
    except PermissionError:  # one file does not stop the rest: its name decides
        head = b""
    return formats.is_picture(name, head)


def _hub_pictures(repo_id: str) -> tuple[datasets.Dataset, str]:
    found = []
    parts = hub.load_hub_dataset(repo_id)
    for split, part in parts.items():
        if not isinstance(part.features.get("image"), datasets.Image):
            raise ValueError(
                f"The split {split} of {repo_id} has the columns {', '.join(part.features)}; it "
                "needs pictures in a column `image`."
            )
        files = datasets.Dataset.from_dict({"file": [f"{split}/{i}" for i in range(len(part))]})
        images = part.select_columns("image").cast_column("image", PICTURES["image"])
        found.append(datasets.concatenate_datasets([files, images], axis=1))
    return datasets.concatenate_datasets(found), listing.hash_parts(parts)


def _plan(classifier: Classifier, key: str, shards: int, whole_picture: bool) -> dict:
    """Return what must be the same for a run to go on with another's shards."""
    weights = hashlib.sha256()
    for tensor in classifier.network.state_dict().values():
        weights.update(tensor.contiguous().numpy().tobytes())
    return {
        "model": classifier.name,
        "weights": weights.hexdigest(),
        "pictures": key,
        "shards": shards,
        "whole_picture": whole_picture,
        "schema_version": SCHEMA_VERSION,
    }


def _claim(output: Path, plan: dict, node: Node) -> None:
    """Make `output` the folder of this plan, or refuse."""
    path = output / PLAN_FILE
    begun = list(output.glob("*.parquet"))  # looked for first: a plan is there before its files
    if path.is_file():
        before = json.loads(path.read_text())
        if changed := [name for name in plan if before.get(name) != plan[name]]:
            raise ValueError(
                f"The analysis in {output} began with other {' and '.join(changed)}: repeat it as "
                "it began, or name another --output."
            )
        return
    if begun:
        raise ValueError(f"{output} holds parquet files and no {PLAN_FILE}: name another --output.")
    output.mkdir(parents=True, exist_ok=True)
    # Each node writes the same, under a name of its own until it is whole.
    fresh = output / f".{PLAN_FILE}.{node.rank}"
    fresh.write_text(json.dumps(plan, indent=2) + "\n")
    os.replace(fresh, path)


def _divide(shards: int, node: Node) -> list[int]:
    """Return this node's shards: of all, or nodes that start apart would divide what is missing."""
    if node.rank >= shards:
        return []
    numbers = datasets.Dataset.from_dict({"shard": range(shards)})
    return list(split_dataset_by_node(numbers, node.rank, node.count)["shard"])


def _threads(processes: int) -> int:
    """Return how many threads each process may use beside the others of this machine."""
    beside = processes * int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return max(1, (os.cpu_count() or 1) // beside)


def _write_shards(writer: "ShardWriter", missing: list[int], processes: int) -> Counter:
    """Write the missing shards, and count their rows by status."""
    if not missing:
        return Counter()
    if processes > 1:
        # A fresh interpreter for each: neither CUDA nor torch's threads can be forked.
        multiprocess.set_start_method("spawn", force=True)
    try:
        counts = datasets.Dataset.from_dict({"shard": missing}).map(
            writer,
            with_rank=True,
            num_proc=min(processes, len(missing)) if processes > 1 else None,
            new_fingerprint=os.urandom(8).hex(),  # nothing is cached: the files are the result
            desc="Shards",
        )
    except RuntimeError as error:
        raise ValueError(
            f"A process ended before its work ({hub.first_line(error)}): repeat the command, with "
            "fewer --processes if memory ran out. Finished shards are kept."
        ) from error
    return Counter({status: sum(counts[status]) for status in STATUSES})


@dataclass
class ShardWriter:
    """What a process needs to write any shard; each process loads the model once."""

    pictures: datasets.Dataset
    model: str
    shards: int
    whole_picture: bool
    output: Path
    processes: int
    detective: EmotionDetective | None = None

    def path(self, shard: int) -> Path:
        """Return where the rows of a shard belong."""
        return self.output / f"part-{shard:05d}-of-{self.shards:05d}.parquet"

    def __call__(self, work: dict[str, int], rank: int | None) -> dict[str, int]:
        """Analyze the pictures of a shard, write their rows, and count these by status.

        `rank` is the process's number, None for the only one.
        """
        if self.detective is None:
            datasets.disable_progress_bars()  # one bar, over shards, is enough
            torch.set_num_threads(_threads(self.processes))
            beside = int(os.environ.get("LOCAL_RANK", 0)) * self.processes
            device = share_device(beside + (rank or 0))
            self.detective = EmotionDetective.from_pretrained(self.model, device=device)
        shard = work["shard"]
        pictures = self.pictures.shard(self.shards, shard, contiguous=True)
        rows = [
            row
            for picture in pictures
            for row in read_picture(self.detective, **picture, whole_picture=self.whole_picture)
        ]
        table = datasets.Dataset.from_list(rows, features=FEATURES)
        write_whole(self.path(shard), table.to_parquet)
        counts = Counter(row["status"] for row in rows)
        return {status: counts[status] for status in STATUSES}


def read_picture(
    detective: EmotionDetective, file: str, image: dict | None, whole_picture: bool = False
) -> list[Row]:
    """Return the rows of an undecoded picture, or the one of a picture that cannot be read."""
    if listing.is_gap(image):
        return [unreadable_row(file)]
    picture = Path(image["path"]) if image["bytes"] is None else image["bytes"]
    try:
        return file_rows(file, detective.analyze(picture, whole_picture))
    except ValueError:
        return [unreadable_row(file)]
