"""Folder, zip, CSV and Hub dataset give their pictures by path, or one sentence says why not."""

import os
import re
from pathlib import Path

import datasets
import numpy as np
import pytest
from corpus import encoded, zipped
from PIL import Image
from small import random_pictures

from emotion_detective import LABELS, data
from emotion_detective.data.listing import list_dataset
from emotion_detective.data.sources import find_pictures

PNG = encoded(Image.new("L", (8, 8), 9), "PNG")


def put(path: Path, content: bytes = PNG) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def test_what_is_hidden_or_leads_nowhere_is_left_out_and_counted(tmp_path, caplog):
    put(tmp_path / "sad" / "im0.png")
    hidden = (".ipynb/im0.png", "sad/.ipynb/im0.png", "__MACOSX/sad/im0.png", "sad/.im0.png")
    for name in (*hidden, "sad/Thumbs.db"):
        put(tmp_path / name, PNG if name.endswith("png") else bytes(600))
    (tmp_path / "sad" / "copy.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "sad" / "circle").symlink_to("circle")
    assert find_pictures(tmp_path).paths == ["sad/im0.png"]
    assert ": 5 files that are hidden or no pictures are left out (.ipynb/im0.png," in caplog.text
    assert "2 links that lead to no file are left out (sad/circle, sad/copy.png)" in caplog.text


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path):
    put(tmp_path / "pool" / "im0.png")
    put(tmp_path / "fer" / "sad" / "im0.png")
    (tmp_path / "fer" / "happy").symlink_to(tmp_path / "pool", target_is_directory=True)
    (tmp_path / "fer" / "sad" / "again").symlink_to(tmp_path / "fer", target_is_directory=True)
    assert find_pictures(tmp_path / "fer").paths == ["happy/im0.png", "sad/im0.png"]


def test_a_name_that_is_no_text_is_named(tmp_path):
    try:
        put(tmp_path / os.fsdecode(b"caf\xe9.png"))
    except OSError:
        pytest.skip("this file system takes UTF-8 only")
    with pytest.raises(ValueError, match=r"caf\\udce9\.png.* is no UTF-8: rename the file\.$"):
        find_pictures(tmp_path)


@pytest.mark.parametrize("is_zip", [True, False])
def test_pictures_are_known_by_content_or_name(tmp_path, is_zip):
    files = {"00:01": PNG, "b.txt": PNG, "c.jpg": b"", "notes.txt": b"hello", "__MACOSX/._a": PNG}
    for name, content in files.items():
        put(tmp_path / "in" / name, content)
    (tmp_path / "in.zip").write_bytes(zipped(files))
    found = find_pictures(tmp_path / ("in.zip" if is_zip else "in"))
    assert found.paths == ["00:01", "b.txt", "c.jpg"]
    assert [found.open(i).read() for i in range(3)] == [PNG, PNG, b""]


def test_a_file_that_is_replaced_by_one_as_large_changes_the_key(tmp_path):
    put(tmp_path / "z.ppm", b"P6 1 1 255 abc")
    before = find_pictures(tmp_path)
    put(tmp_path / "z.ppm", b"P6 1 1 255 xyz")
    os.utime(tmp_path / "z.ppm", (0, 0))
    assert find_pictures(tmp_path).key != before.key


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (zipped({"a.png": PNG})[:-9], "not a zip file, or a broken one, and no CSV with the"),
        (b"feelings,pixels\n1,2\n", "no CSV with the columns emotion and pixels"),
        (b"\x1f\x8b a tar.gz", r"is a gzip file: unpack it and name its folder\.$"),
        (b"Usage,emotion,pixels\nx,1,\xff\n", "is no CSV of text and numbers"),
    ],
)
def test_a_file_that_is_no_source_is_refused(tmp_path, content, sentence):
    (tmp_path / "fer.zip").write_bytes(content)
    with pytest.raises(ValueError, match=sentence):
        find_pictures(tmp_path / "fer.zip")


FACES = [
    "emotion,pixels,Usage",
    *("0,0 0 0 0,Training", "3,9 9 9 9,Training", "6,1 2 3 4,PublicTest", "1,8 8 8 8,PrivateTest"),
]
PATHS = ["Training/angry/0", "Training/happy/1", "PublicTest/neutral/2", "PrivateTest/disgusted/3"]
PLAIN = "\n".join(FACES) + "\n"


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text,
        lambda text: "\ufeff" + text.replace(",", ";").replace("\n", "\r\n"),  # from Excel
        lambda text: text.replace("emotion,pixels,Usage", "Emotion, Pixels, usage"),
        lambda text: re.sub(r"(?m)^(\w+),([^,]+),(\w+)$", r"\1, \3, \2", text),
        lambda text: re.sub(r"([^,\n]+)", r'"\1"', text),
        lambda text: re.sub(r"(?m)^(\d)", r"\1.0", text),  # from pandas
        lambda text: text.replace("\n3,", "\nHappiness,"),
    ],
)
def test_a_csv_as_kaggles_that_any_program_wrote_is_read(tmp_path, change):
    (tmp_path / "fer2013.csv").write_text(change(PLAIN), newline="", encoding="utf-8")
    found = find_pictures(tmp_path / "fer2013.csv")
    assert [path.replace("Happiness", "happy") for path in found.paths] == PATHS
    assert np.asarray(Image.open(found.open(2))).tolist() == [[1, 2], [3, 4]]


def test_a_csv_is_found_in_a_zip_and_in_a_folder(tmp_path):
    put(tmp_path / "in" / "fer2013" / "fer2013.csv", PLAIN.encode())
    put(tmp_path / "in" / "sample.png")
    (tmp_path / "in.zip").write_bytes(zipped({"fer2013/fer2013.csv": PLAIN.encode()}))
    for source in (tmp_path / "in", tmp_path / "in.zip"):
        assert find_pictures(source).paths == PATHS


def test_a_csv_for_each_split_is_known_by_its_name(tmp_path, caplog):
    rows = "emotion,pixels\n3,1 1 1 1\n4,2 2 2 2\n"
    for name, text in (("train", rows), ("test", rows), ("submission", "emotion\n1\n")):
        put(tmp_path / f"{name}.csv", text.encode())
    put(tmp_path / "sample.png")
    found = find_pictures(tmp_path)
    assert found.paths == ["test/happy/0", "test/sad/1", "train/happy/2", "train/sad/3"]
    assert "2 other files are left out (sample.png, submission.csv)." in caplog.text


def test_a_csv_that_is_cut_short_says_where(tmp_path):
    (tmp_path / "fer2013.csv").write_text(PLAIN[:-14])
    with pytest.raises(ValueError, match=r"fer2013\.csv is cut short in row 4: fetch it again\.$"):
        find_pictures(tmp_path / "fer2013.csv")


def hub_split(count: int, **broken) -> datasets.Dataset:
    """Return a split of a Hub dataset, the labels in turn, its second row with what is broken."""
    rows = [
        {"image": {"bytes": encoded(picture, "PNG"), "path": None}, "label": i % 6}
        for i, picture in enumerate(random_pictures("L", count))
    ]
    rows[1] |= broken
    label = datasets.ClassLabel(names=list(LABELS))
    features = datasets.Features(image=datasets.Image(), label=label)
    return datasets.Dataset.from_list(rows, features)


def test_a_hub_dataset_is_read_as_folders_are():
    parts = datasets.DatasetDict(Training=hub_split(7), unlabelled=hub_split(2))
    by_class = list_dataset("user/faces", parts, by_class=True)
    assert by_class.paths[:2] == ["Training/angry/0", "Training/fearful/1"]
    assert by_class.paths[7:] == ["unlabelled/angry/0", "unlabelled/fearful/1"]
    assert Image.open(by_class.open(8)).size == (64, 64)
    plain = list_dataset("user/faces", parts.remove_columns("label"), by_class=False)
    assert plain.paths[6:] == ["Training/6", "unlabelled/0", "unlabelled/1"]
    with pytest.raises(ValueError, match=r"has the columns image; it needs .* class names in `lab"):
        list_dataset("user/faces", parts.remove_columns("label"), by_class=True)


def test_a_row_without_a_label_or_a_picture_is_refused():
    with pytest.raises(ValueError, match="Row 1 of the split train of user/faces has no label"):
        list_dataset("user/faces", datasets.DatasetDict(train=hub_split(3, label=None)), True)
    found = list_dataset("user/faces", datasets.DatasetDict(train=hub_split(3, image=None)), True)
    with pytest.raises(ValueError, match="no picture"):
        found.open(1)


@pytest.mark.parametrize("name", ["data/fer", "data/none.zip", "./fer", "a/b/c"])
def test_a_path_that_is_not_there_is_never_asked_for_on_the_hub(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("data").mkdir()
    monkeypatch.setattr("datasets.load_dataset", lambda _: pytest.fail("asked the Hub"))
    with pytest.raises(ValueError, match=f"There is no data at '{name}'"):
        data.load(name)


def test_the_key_of_a_dataset_changes_with_its_files_and_not_with_the_machine(tmp_path):
    file = tmp_path / "rows.parquet"

    def key(cache: str, count: int) -> str:
        hub_split(count).to_parquet(file)
        os.utime(file, (0, count))  # by which `datasets` distinguishes files of this machine
        parts = datasets.load_dataset("parquet", data_files=str(file), cache_dir=tmp_path / cache)
        return list_dataset("faces", parts, by_class=False).key

    assert key("one", 3) == key("another", 3)
    assert key("one", 3) != key("one", 4)
