"""A folder or Hub dataset becomes parquet: the rows of a batch, no half shard, no work twice."""

import errno
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
import zipfile
from io import BytesIO
from pathlib import Path
from unittest import mock

import datasets
import pandas as pd
import pytest
import torch
from corpus import encoded, zipped
from PIL import Image
from small import ROOT, assert_children_end_with, write_source

from emotion_detective.bulk import analysis
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.core.rows import unreadable_row
from emotion_detective.data.listing import Files
from emotion_detective.page import batch_files

pytest_plugins = ["hub_server"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory, astronaut) -> Path:
    """A face, a picture without one, a broken one, and what is no picture."""
    folder = tmp_path_factory.mktemp("analysis") / "pictures"
    (folder / "a" / "b").mkdir(parents=True)
    astronaut.crop((120, 20, 320, 220)).save(folder / "a" / "face.jpg")
    Image.new("L", (64, 64), 90).save(folder / "a" / "b" / "gray.PNG")
    (folder / "broken.jpg").write_bytes(b"not a picture")
    (folder / "notes.txt").write_text("no picture")
    (folder / "._face.jpg").write_bytes(b"left by macOS")
    return folder


@pytest.fixture
def small_shards(monkeypatch):
    """Give each picture a shard of its own."""
    monkeypatch.setattr(analysis, "MIN_SHARD", 1)


def rows_of(output: Path) -> list[dict]:
    """Return the rows as a reader of the files gets them, shard after shard."""
    paths = sorted(output.glob("*.parquet"))
    return [row for path in paths for row in datasets.Dataset.from_parquet(str(path))]


def test_rows_are_those_of_a_batch(folder, tiny_checkpoint, tmp_path, small_shards):
    threads = torch.get_num_threads()
    done = analysis.write_rows(str(tiny_checkpoint), str(folder), tmp_path)
    assert torch.get_num_threads() == threads  # another number gives training other weights
    detective = EmotionDetective.from_pretrained(tiny_checkpoint)
    files = [(name, folder / name) for name in ("a/b/gray.PNG", "a/face.jpg", "broken.jpg")]
    expected = [row for result in batch_files.read(detective, files) for row in result.rows]
    assert [row["status"] for row in expected] == ["no_face", "ok", "unreadable"]
    pd.testing.assert_frame_equal(
        pd.DataFrame(rows_of(tmp_path)), pd.DataFrame(expected), rtol=1e-6
    )
    assert re.fullmatch(
        r"3 rows \(1 faces, 1 pictures without one, 1 unreadable\) in \d+ s; 0 of 3 shards were "
        r"finished before",
        done,
    )


def test_a_killed_analysis_goes_on_with_the_missing_shards(
    folder, tiny_checkpoint, tmp_path, small_shards
):
    arguments = str(tiny_checkpoint), str(folder), tmp_path
    analysis.write_rows(*arguments)
    whole = rows_of(tmp_path)
    second = tmp_path / "part-00001-of-00003.parquet"
    second.unlink()
    second.with_name(f".{second.name}.unfinished").write_bytes(b"cut short by a kill")
    assert pd.read_parquet(tmp_path).status.tolist() == ["no_face", "unreadable"]
    done = analysis.write_rows(*arguments)
    assert done.startswith("1 rows (1 faces") and "; 2 of 3 shards were finished" in done
    assert rows_of(tmp_path) == whole
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".parquet"}


def test_a_whole_picture_is_one_face_in_a_zip_too(folder, tiny_checkpoint, tmp_path):
    path = shutil.make_archive(tmp_path / "pictures", "zip", folder)
    analysis.write_rows(str(tiny_checkpoint), path, tmp_path / "out", whole_picture=True)
    boxes = {row["file"]: row["box"] for row in rows_of(tmp_path / "out")}
    assert boxes == {
        "a/b/gray.PNG": [0, 0, 64, 64],
        "a/face.jpg": [0, 0, 200, 200],
        "broken.jpg": None,
    }


def test_sixty_pictures_are_several_shards_and_the_bar_counts_pictures(
    tiny_checkpoint, tmp_path, capfd
):
    pixels = range(60)
    pictures = {f"{i}.pgm": b"P5 2 2 255 " + bytes([i, 0, 99, i]) for i in pixels}
    (tmp_path / "in.zip").write_bytes(zipped(pictures))
    source, output = str(tmp_path / "in.zip"), tmp_path / "out"
    analysis.write_rows(str(tiny_checkpoint), source, output, whole_picture=True)
    assert [len(pd.read_parquet(path)) for path in output.glob("*.parquet")] == [20, 20, 20]
    shown = capfd.readouterr().err
    assert "60/60" in shown and "parquet" not in shown
    assert [row["file"] for row in rows_of(output)] == [f"{i}.pgm" for i in pixels]


def test_another_analysis_is_not_mixed_in(folder, tiny_checkpoint, tmp_path):
    arguments = str(tiny_checkpoint), str(folder), tmp_path
    analysis.write_rows(*arguments)
    plan = json.loads((tmp_path / analysis.PLAN_FILE).read_text())
    (tmp_path / analysis.PLAN_FILE).write_text(json.dumps(plan | {"weights": "others"}))
    with pytest.raises(ValueError, match="began with other weights and whole_picture: repeat it"):
        analysis.write_rows(*arguments, whole_picture=True)
    (tmp_path / analysis.PLAN_FILE).unlink()
    with pytest.raises(ValueError, match=r"holds parquet files and no _analysis\.json"):
        analysis.write_rows(*arguments)


@pytest.mark.parametrize(
    ("error", "is_a_row"),
    [
        (PermissionError(errno.EACCES, "Permission denied"), True),
        (zipfile.BadZipFile("Bad CRC-32"), True),
        (OSError(errno.EIO, "Input/output error"), False),
    ],
)
def test_a_picture_that_cannot_be_opened_is_a_row_and_a_failing_disk_stops(
    error, is_a_row, tiny_checkpoint
):
    content = encoded(Image.new("L", (9, 9)), "PNG")
    pictures = Files(
        "source", "key", ["a", "b"], [0, 1], mock.Mock(side_effect=[error, BytesIO(content)])
    )
    rows = analysis.analyze_files(
        EmotionDetective.from_pretrained(tiny_checkpoint), pictures, range(2)
    )
    if is_a_row:
        assert next(rows) == unreadable_row("a", str(error))
        assert next(rows)["status"] == "no_face"
    else:
        with pytest.raises(OSError, match="Input/output error"):
            list(rows)


def test_a_source_without_pictures_is_refused(tiny_checkpoint, tmp_path):
    with pytest.raises(ValueError, match="holds no pictures"):
        analysis.write_rows(str(tiny_checkpoint), str(tmp_path), tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_nodes_divide_the_shards(folder, tiny_checkpoint, tmp_path, monkeypatch, small_shards):
    arguments = str(tiny_checkpoint), str(folder)
    analysis.write_rows(*arguments, tmp_path / "one")
    monkeypatch.setenv("WORLD_SIZE", "4")  # one more than shards
    for rank in range(4):
        monkeypatch.setenv("RANK", str(rank))
        done = analysis.write_rows(*arguments, tmp_path / "several")
        assert done.startswith(f"part {rank + 1} of 4: {int(rank < 3)} rows")
        assert f"0 of {int(rank < 3)} shards" in done
    assert rows_of(tmp_path / "several") == rows_of(tmp_path / "one")


def processes_of(run: subprocess.Popen) -> list[int]:
    """Return the ids of the processes that a run has started to share its work."""
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    return [
        int(pid) for pid in children if "spawn_main" in Path(f"/proc/{pid}/cmdline").read_text()
    ]


@pytest.mark.slow
def test_killed_processes_end_and_others_finish_a_hub_dataset(hub, tiny_checkpoint, tmp_path):
    source = write_source(tmp_path / "faces", train=95, test=5)
    hub.store.upload("user/faces", source, "dataset")
    hub.store.upload("user/tiny", tiny_checkpoint)
    command = [sys.executable, str(ROOT / "train_hub.py"), "analyze", "--model", "user/tiny"]
    command += ["--data", "user/faces", "--output", "out", "--whole-picture", "--processes", "2"]
    env = hub.env(tmp_path / "home") | {"OMP_NUM_THREADS": "1"}

    def finished() -> int:
        return len(list((tmp_path / "out").glob("*.parquet")))

    def at_work() -> subprocess.Popen:
        run = subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.PIPE, text=True)
        before = finished()
        while finished() == before:
            assert run.poll() is None, run.stderr.read()
            time.sleep(0.01)
        return run

    with at_work() as run:
        os.kill(processes_of(run)[0], signal.SIGKILL)
        assert run.wait() == 2
        assert "repeat the command, with fewer --processes" in run.stderr.read()
    with at_work() as run:
        assert_children_end_with(run)
    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (before,) = re.findall(r"(\d+) of 30 shards were finished before", run.stdout)
    assert 2 <= int(before) < finished() == 30
    rows = rows_of(tmp_path / "out")
    assert len({row["file"] for row in rows}) == len(rows) == 600
    assert len({row["happy"] for row in rows}) > 100
