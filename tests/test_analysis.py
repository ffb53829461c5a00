"""A folder or Hub dataset becomes parquet: the rows of a batch, no half shard, no work twice."""

import json
import os
import re
import subprocess
import sys
import time
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace

import datasets
import pytest
from PIL import Image
from small import ROOT, assert_children_end_with, write_source

import train_hub
from emotion_detective.inference.detective import EmotionDetective
from emotion_detective.inference.rows import FILE_COLUMNS, unreadable_row
from emotion_detective.page import batch_files
from emotion_detective.training import analysis

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


def rows_of(output: Path) -> list[dict]:
    """Return the rows as a reader of the files gets them, shard after shard."""
    paths = sorted(output.glob("*.parquet"))
    return [row for path in paths for row in datasets.Dataset.from_parquet(str(path))]


def test_rows_are_those_of_a_batch(folder, tiny_checkpoint, tmp_path):
    report = analysis.analyze(str(tiny_checkpoint), str(folder), tmp_path / "out", shards=2)
    detective = EmotionDetective.from_pretrained(tiny_checkpoint)
    files = [(name, folder / name) for name in ("a/b/gray.PNG", "a/face.jpg", "broken.jpg")]
    expected = [row for result in batch_files.read(detective, files) for row in result.rows]
    assert [row["status"] for row in expected] == ["no_face", "ok", "unreadable"]
    rows = rows_of(tmp_path / "out")
    assert [tuple(row) for row in rows] == [FILE_COLUMNS] * 3
    for row, wanted in zip(rows, expected, strict=True):
        for name, value in wanted.items():
            number = isinstance(value, list | float)
            assert row[name] == (pytest.approx(value, rel=1e-6) if number else value)
    assert (report.shards, report.finished_before) == (2, 0)
    assert re.fullmatch(
        r"3 rows \(1 faces, 1 pictures without one, 1 unreadable\) in \d+ s, \d+\.\d rows a "
        r"second; 0 of 2 shards were finished before",
        str(report),
    )


@pytest.mark.parametrize(
    "image",
    [
        None,
        {"bytes": None, "path": None},
        {"bytes": b"", "path": str(ROOT / "examples" / "one_face.jpg")},
    ],
)
def test_a_gap_in_a_dataset_is_a_row_that_says_so(image, tiny_checkpoint):
    worker = SimpleNamespace(
        detective=EmotionDetective.from_pretrained(tiny_checkpoint),
        work=SimpleNamespace(whole_picture=False),
    )
    assert analysis.Worker._rows(worker, "0", image) == [unreadable_row("0")]


def test_a_killed_analysis_goes_on_with_the_missing_shards(folder, tiny_checkpoint, tmp_path):
    arguments = str(tiny_checkpoint), str(folder), tmp_path
    analysis.analyze(*arguments, shards=3)
    whole = rows_of(tmp_path)
    first, second, third = sorted(tmp_path.glob("*.parquet"))
    assert [path.name for path in (first, third)] == [
        "part-00000-of-00003.parquet",
        "part-00002-of-00003.parquet",
    ]
    second.unlink()
    second.with_name(f"{second.name}.unfinished").write_bytes(b"cut short by a kill")
    before = [path.stat().st_mtime_ns for path in (first, third)]
    report = analysis.analyze(*arguments, shards=3)
    assert [path.stat().st_mtime_ns for path in (first, third)] == before
    assert (report.rows, report.finished_before) == ({"ok": 1}, 2)
    assert rows_of(tmp_path) == whole
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".parquet"}


def test_a_killed_shard_leaves_no_file_under_its_name(
    folder, tiny_checkpoint, tmp_path, monkeypatch
):
    def killed(self, path):
        Path(path).write_bytes(b"half a file")
        raise KeyboardInterrupt

    monkeypatch.setattr(datasets.Dataset, "to_parquet", killed)
    with pytest.raises(KeyboardInterrupt):
        analysis.analyze(str(tiny_checkpoint), str(folder), tmp_path)
    assert list(tmp_path.glob("*.parquet")) == []


def test_a_whole_picture_is_one_face(folder, tiny_checkpoint, tmp_path):
    analysis.analyze(str(tiny_checkpoint), str(folder), tmp_path, whole_picture=True)
    assert [row["box"] for row in rows_of(tmp_path)] == [[0, 0, 64, 64], [0, 0, 200, 200], None]


def test_another_analysis_is_not_mixed_in(folder, tiny_checkpoint, tmp_path):
    arguments = str(tiny_checkpoint), str(folder), tmp_path
    analysis.analyze(*arguments, shards=99)
    assert len(list(tmp_path.glob("*.parquet"))) == 3  # no shard without pictures
    with pytest.raises(ValueError, match=r"began with other shards and whole_picture: repeat it"):
        analysis.analyze(*arguments, shards=2, whole_picture=True)
    plan = json.loads((tmp_path / analysis.PLAN_FILE).read_text())
    for changed in ("weights", "pictures", "schema_version"):
        (tmp_path / analysis.PLAN_FILE).write_text(json.dumps(plan | {changed: "another"}))
        with pytest.raises(ValueError, match=f"began with other {changed}: repeat it"):
            analysis.analyze(*arguments, shards=99)


def test_a_picture_that_is_replaced_by_one_as_large_is_another(tmp_path):
    (tmp_path / "z.ppm").write_bytes(b"P6 1 1 255 abc")
    _, before = analysis.find_pictures(str(tmp_path))
    (tmp_path / "z.ppm").write_bytes(b"P6 1 1 255 xyz")
    os.utime(tmp_path / "z.ppm", (0, 0))
    _, after = analysis.find_pictures(str(tmp_path))
    assert after != before


def test_a_name_that_is_no_text_is_named(tmp_path):
    try:
        Path(os.fsdecode(bytes(tmp_path) + b"/caf\xe9.png")).touch()
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(ValueError, match=r"caf\\udce9.png.* is no UTF-8: rename the file"):
        analysis.find_pictures(str(tmp_path))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"--data": "nowhere"}, "There is no folder 'nowhere'"),
        ({"--data": "empty"}, "The folder 'empty' holds no pictures"),
        ({"--shards": "0"}, "--shards must be 1 or more, not 0"),
        ({"--processes": "-1"}, "--processes must be 1 or more, not -1"),
    ],
)
def test_what_cannot_be_analyzed_is_one_line(
    folder, tiny_checkpoint, options, message, tmp_path, monkeypatch, capsys
):
    monkeypatch.chdir(tmp_path)
    Path("empty").mkdir()
    given = {"--model": str(tiny_checkpoint), "--data": str(folder), "--output": "out"} | options
    assert train_hub.main(["analyze", *[word for pair in given.items() for word in pair]]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("train_hub.py analyze: ")
    assert message in line
    assert not Path("out").exists()


def test_a_process_ended_from_outside_is_one_line(folder, tiny_checkpoint, tmp_path, monkeypatch):
    ended = Future()
    ended.set_exception(BrokenProcessPool())
    monkeypatch.setattr(analysis.ProcessPoolExecutor, "submit", lambda *_: ended)
    with pytest.raises(ValueError, match="repeat the command with fewer --processes"):
        analysis.analyze(str(tiny_checkpoint), str(folder), tmp_path, processes=2)


@pytest.mark.slow
def test_two_killed_processes_end_and_others_finish_a_hub_dataset(hub, tiny_checkpoint, tmp_path):
    """By the README's command, to the same rows as one process gets from the folder."""
    source = write_source(tmp_path / "faces", train=2, test=1)
    hub.store.upload("user/faces", source, "dataset")
    hub.store.upload("user/tiny", tiny_checkpoint)
    command = [sys.executable, str(ROOT / "train_hub.py"), "analyze", "--model", "user/tiny"]
    command += ["--data", "user/faces", "--output", "out", "--whole-picture"]
    command += ["--shards", "18", "--processes", "2"]
    env = hub.env(tmp_path / "home") | {"OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, cwd=tmp_path, env=env, stderr=subprocess.DEVNULL) as first:
        while not list((tmp_path / "out").glob("*.parquet")):
            assert first.poll() is None
            time.sleep(0.01)
        assert_children_end_with(first)

    run = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    (finished,) = re.findall(r"(\d+) of 18 shards were finished before", run.stdout)
    assert f"{18 - int(finished)} rows ({18 - int(finished)} faces, 0 pictures" in run.stdout
    assert int(finished) >= 1
    rows = rows_of(tmp_path / "out")
    assert [row["file"] for row in rows] == [
        *[f"train/{i}" for i in range(12)],
        *[f"test/{i}" for i in range(6)],
    ]
    analysis.analyze(str(tiny_checkpoint), str(source), tmp_path / "one", whole_picture=True)
    happy = [row["happy"] for row in rows]
    assert len(set(happy)) > 10
    assert sorted(happy) == pytest.approx(
        sorted(row["happy"] for row in rows_of(tmp_path / "one")), abs=1e-5
    )
