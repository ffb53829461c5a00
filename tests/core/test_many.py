"""Many pictures, other processes, and a caller's own settings of torch."""

import json
import multiprocessing
import pickle
import subprocess
import sys

import pytest
import torch
from PIL import Image
from small import ROOT

from emotion_detective import EmotionDetective, to_dataframe
from emotion_detective.core.rows import FILE_COLUMNS

EXAMPLES = ROOT / "examples"
PHOTOS = [str(EXAMPLES / name) for name in ("six_people.jpg", "no_face.jpg", "five_faces.jpg")]
# Far above what a process takes that answers, and far below "for ever".
TIME_LIMIT_S = 180


@pytest.fixture(scope="module")
def detective(tiny_checkpoint) -> EmotionDetective:
    return EmotionDetective.from_pretrained(tiny_checkpoint)


@pytest.mark.parametrize("batch_size", [1, 4, 100])
def test_many_pictures_get_in_their_order_what_each_gets_alone(detective, batch_size):
    sources = [PHOTOS[0], "nowhere.png", PHOTOS[1], b"no picture", Image.open(PHOTOS[2]), 7]
    items = list(detective.analyze_many(iter(sources), batch_size=batch_size))
    assert [item.source for item in items] == sources
    for item, photo in zip((items[0], items[2], items[4]), PHOTOS, strict=True):
        alone = detective.analyze(photo)
        assert [one.box_xyxy for one in item.predictions] == [one.box_xyxy for one in alone]
        for one, other in zip(item.predictions, alone, strict=True):
            assert one.probabilities == pytest.approx(other.probabilities, abs=1e-5)
    assert items[1].error == "There is no file 'nowhere.png'; check the path."
    assert "is no picture that can be read" in items[3].error
    assert items[5].error.startswith("A picture is a path, bytes,")


def test_no_picture_is_opened_long_before_it_is_taken(detective):
    opened = []
    endless = (opened.append(1) or PHOTOS[1] for _ in iter(int, 1))
    items = detective.analyze_many(endless, whole_picture=True, batch_size=1)
    assert len(next(items).predictions) == 1
    assert len(opened) < 12
    items.close()
    with pytest.raises(ValueError, match="batch_size must be 1 or more, not 0"):
        next(detective.analyze_many([], batch_size=0))


def test_a_data_frame_has_the_rows_of_the_api_and_a_bar_is_shown(detective, capsys):
    items = detective.analyze_many([PHOTOS[0], PHOTOS[1], b""], progress=True)
    table = to_dataframe(items)
    assert tuple(table.columns) == FILE_COLUMNS
    assert table["file"].tolist() == [PHOTOS[0]] * 6 + [PHOTOS[1], "3"]
    assert table["status"].tolist() == ["ok"] * 6 + ["no_face", "unreadable"]
    assert table["reason"].tolist()[-1] == "The file is empty; save or upload it again."
    assert "3/3" in capsys.readouterr().err


def test_settings_of_the_caller_change_no_prediction(detective, tiny_checkpoint, astronaut):
    (expected,) = detective.analyze(astronaut)
    with torch.autocast("cpu", torch.bfloat16):
        assert detective.analyze(astronaut)[0].probabilities == expected.probabilities
    torch.set_default_dtype(torch.float64)
    try:
        for one in (detective, EmotionDetective.from_pretrained(tiny_checkpoint)):
            (found,) = one.analyze(astronaut)
            assert found.box_xyxy == pytest.approx(expected.box_xyxy, abs=1e-3)
            assert found.probabilities == pytest.approx(expected.probabilities, abs=1e-6)
    finally:
        torch.set_default_dtype(torch.float32)


def test_an_unpickled_detective_is_loaded_once(detective, astronaut):
    first, second = (pickle.loads(pickle.dumps(detective)) for _ in range(2))
    assert first is second is not detective
    assert first.analyze(astronaut) == detective.analyze(astronaut)


@pytest.mark.slow
def test_a_pool_of_fresh_processes_answers(detective):
    expected = [len(detective.analyze(photo)) for photo in PHOTOS]
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found = pool.map_async(detective.analyze, PHOTOS).get(TIME_LIMIT_S)
    assert [len(one) for one in found] == expected


# With two threads of torch, whatever the tests run with: those of the parent are not in a child.
FORKED = """
import json, multiprocessing, sys, torch
torch.set_num_threads(2)
from emotion_detective import EmotionDetective
detective = EmotionDetective.from_pretrained(sys.argv[1])
def count(path):
    return len(detective.analyze(path)), len(list(detective.analyze_many([path]))[0].predictions)
print(json.dumps(count(sys.argv[2])))
with multiprocessing.get_context("fork").Pool(2) as pool:
    print(json.dumps(pool.map(count, sys.argv[2:])))
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="forks after threads have run")
def test_a_forked_child_answers(tiny_checkpoint, tmp_path):
    script = tmp_path / "forked.py"
    script.write_text(FORKED)
    command = [sys.executable, script, tiny_checkpoint, *PHOTOS]
    ended = subprocess.run(
        command,
        env={"PYTHONPATH": str(ROOT), "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=TIME_LIMIT_S,
    )
    assert ended.returncode == 0, ended.stderr
    parent, children = map(json.loads, ended.stdout.splitlines())
    assert parent == [6, 6]
    assert children == [[6, 6], [0, 0], [5, 5]]


def test_the_detective_that_comes_with_the_package_needs_no_name():
    assert EmotionDetective.from_pretrained().classifier.name == "emotion-detective-resnet50"
