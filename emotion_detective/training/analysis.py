"""A folder of pictures or a Hub dataset, however large -> parquet files, one row a face.

    python train_hub.py analyze --model DIR_OR_REPO --data FOLDER_OR_HUB_ID --output DIR
    datasets.load_dataset("parquet", data_files="DIR/*.parquet", split="train")

The rows are those of `/analyze_batch` (`Row`). The work is divided into shards, one file
each, and several processes take one after the other. A file appears under its name once it is
whole: a run that was killed goes on with the shards that are missing. Knows no Gradio.
"""

import hashlib
import json
import math
import multiprocessing
import os
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import datasets
import torch
from tqdm.auto import tqdm

from emotion_detective.inference import hub
from emotion_detective.inference.checkpoint import write_whole
from emotion_detective.inference.detective import EmotionDetective
from emotion_detective.inference.loading import load_classifier
from emotion_detective.inference.model import LABELS, Classifier
from emotion_detective.inference.rows import SCHEMA_VERSION, Row, file_rows, unreadable_row
from emotion_detective.training import machine, sources

# What a kill may cost: some minutes of one core; and a million pictures become a thousand files.
SHARD_PICTURES = 1000
PLAN_FILE = "analysis.json"
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
class Report:
    """What one run did: rows by status, its seconds, and how many shards stood finished before."""

    rows: Counter
    seconds: float
    shards: int
    finished_before: int

    def __str__(self) -> str:
        total = self.rows.total()
        return (
            f"{total} rows ({self.rows['ok']} faces, {self.rows['no_face']} pictures without one, "
            f"{self.rows['unreadable']} unreadable) in {self.seconds:.0f} s, "
            f"{total / self.seconds:.1f} rows a second; {self.finished_before} of {self.shards} "
            "shards were finished before"
        )


@dataclass(frozen=True)
class Work:
    """What every process needs to analyze any shard."""

    pictures: datasets.Dataset
    model: str
    shards: int
    whole_picture: bool
    output: Path
    threads: int

    def path(self, shard: int) -> Path:
        """Return where the rows of a shard belong."""
        return self.output / f"part-{shard:05d}-of-{self.shards:05d}.parquet"


def analyze(
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
    picture is read as one face, for pictures cropped to a face already.

    Raises:
        ValueError: no such model or pictures, a count below 1, `output` holds an analysis of
            something else, or a process was killed; says what to do.
    """
    for name, count in (("shards", shards), ("processes", processes)):
        if count is not None and count < 1:
            raise ValueError(f"--{name} must be 1 or more, not {count}.")
    pictures, key = find_pictures(source)
    shards = min(shards or math.ceil(len(pictures) / SHARD_PICTURES), len(pictures))
    classifier = load_classifier(model)
    _claim(output, _plan(classifier, key, shards, whole_picture))
    if classifier.revision:  # no process must meet a newer one
        model = f"{classifier.name}@{classifier.revision}"
    threads = max(1, (os.cpu_count() or 1) // processes)
    work = Work(pictures, model, shards, whole_picture, output, threads)
    missing = [shard for shard in range(shards) if not work.path(shard).is_file()]
    begin, rows = time.perf_counter(), Counter()
    for counted in tqdm(_run(work, missing, processes), "shards", len(missing)):
        rows += counted
    return Report(rows, time.perf_counter() - begin, shards, shards - len(missing))


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
        raise ValueError(
            f"There is no folder {source!r}: --data takes a folder of pictures or the id of a Hub "
            "dataset."
        )
    paths = sorted(path for path in folder.rglob("*") if sources.is_picture(path.name))
    if not paths:
        raise ValueError(f"The folder {source!r} holds no pictures.")
    names = [path.relative_to(folder).as_posix() for path in paths]
    for name in names:
        if name != name.encode(errors="replace").decode():
            raise ValueError(f"The name of {name!r} in {source!r} is no UTF-8: rename the file.")
    columns = {"file": names, "image": [str(path) for path in paths]}
    key = sources.hash_files(paths, names)  # a picture that is replaced changes it
    return datasets.Dataset.from_dict(columns, PICTURES), key


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
    key = sources.hash_lines(f"{split} {part._fingerprint}" for split, part in parts.items())
    return datasets.concatenate_datasets(found), key


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


def _claim(output: Path, plan: dict) -> None:
    """Make `output` the folder of this plan, or refuse."""
    path = output / PLAN_FILE
    if not path.is_file():
        output.mkdir(parents=True, exist_ok=True)
        write_whole(path, lambda fresh: fresh.write_text(json.dumps(plan, indent=2) + "\n"))
        return
    before = json.loads(path.read_text())
    if changed := [name for name in plan if before.get(name) != plan[name]]:
        raise ValueError(
            f"The analysis in {output} began with other {' and '.join(changed)}: repeat it as it "
            "began, or name another --output."
        )


def _run(work: Work, missing: list[int], processes: int) -> Iterator[Counter]:
    """Yield the rows by status of one missing shard after the other."""
    if processes == 1:
        yield from map(Worker(work).write_shard, missing)
        return
    # A fresh interpreter for each: torch's threads do not survive a fork.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, context, _become_worker, (work,)) as pool:
        running = [pool.submit(_write_shard, shard) for shard in missing]
        try:
            for done in as_completed(running):
                yield done.result()
        except BrokenProcessPool as error:
            raise ValueError(
                "A process was ended from outside, perhaps for its memory: repeat the command with "
                "fewer --processes. Finished shards are kept."
            ) from error
        finally:
            pool.shutdown(cancel_futures=True)


class Worker:
    """One process's model, loaded once for all its shards."""

    def __init__(self, work: Work) -> None:
        datasets.disable_progress_bars()  # one bar, over shards, is enough
        torch.set_num_threads(work.threads)
        self.work = work
        self.detective = EmotionDetective.from_pretrained(work.model)

    def write_shard(self, shard: int) -> Counter:
        """Analyze the pictures of a shard, write their rows, and count these by status."""
        pictures = self.work.pictures.shard(self.work.shards, shard, contiguous=True)
        rows = [row for picture in pictures for row in self._rows(**picture)]
        table = datasets.Dataset.from_list(rows, features=FEATURES)
        write_whole(self.work.path(shard), table.to_parquet)
        return Counter(row["status"] for row in rows)

    def _rows(self, file: str, image: dict | None) -> list[Row]:
        if sources.is_gap(image):
            return [unreadable_row(file)]
        picture = Path(image["path"]) if image["bytes"] is None else image["bytes"]
        try:
            found = self.detective.analyze(picture, self.work.whole_picture)
        except ValueError:
            return [unreadable_row(file)]
        return file_rows(file, found)


def _become_worker(work: Work) -> None:
    global _worker
    machine.end_with_parent()
    _worker = Worker(work)


def _write_shard(shard: int) -> Counter:
    return _worker.write_shard(shard)
