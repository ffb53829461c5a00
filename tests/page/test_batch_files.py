"""Many pictures and zip files: order, limits, and what is in no zip file of good faith."""

import zipfile
from pathlib import Path

import pytest
from PIL import Image
from small import prediction

from emotion_detective.core.rows import unreadable_row
from emotion_detective.page import batch_files


@pytest.fixture
def picture(tmp_path) -> Path:
    path = tmp_path / "a.png"
    Image.new("RGB", (8, 8)).save(path)
    return path


def packed(path: Path, entries: dict[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in entries.items():
            archive.writestr(name, content)
    return path


def test_files_and_entries_come_in_order(tmp_path, picture):
    archive = packed(tmp_path / "x.zip", {"b/1.png": b"one", "b/": b"", "2.png": b"two"})
    sent = [("a.png", picture), ("X.ZIP", archive)]
    assert list(batch_files.pictures(sent)) == [
        ("a.png", picture),
        ("X.ZIP/b/1.png", b"one"),
        ("X.ZIP/2.png", b"two"),
    ]
    assert batch_files.count(sent) == 3


def test_equal_names_from_several_folders_are_numbered_and_may_have_colons(tmp_path, picture):
    archive = packed(tmp_path / "x.zip", {"a/00:01:02.png": b"one", "b/00:01:02.png": b"two"})
    sent = [("a.png", picture), ("a.png", picture), ("x.zip", archive)]
    names = [name for name, _ in batch_files.pictures(sent)]
    assert names == ["a.png", "a.png (2)", "x.zip/a/00:01:02.png", "x.zip/b/00:01:02.png"]


def test_what_an_operating_system_adds_is_left_out(tmp_path):
    names = {"__MACOSX/._a.png": b"", "a/.DS_Store": b"", "a/Thumbs.db": b"", "a.png": b"a"}
    sent = [("x.zip", packed(tmp_path / "x.zip", names))]
    assert [name for name, _ in batch_files.pictures(sent)] == ["x.zip/a.png"]


def test_a_long_name_of_an_entry_is_cut_to_its_end(tmp_path):
    sent = [("x.zip", packed(tmp_path / "x.zip", {"a" * 60_000 + "/1.png": b"a"}))]
    ((name, _),) = batch_files.pictures(sent)
    assert len(name) < 300
    assert name.endswith("aaa/1.png")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 and nothing more", b"no zip file"])
def test_a_broken_zip_file_is_one_unreadable_file(tmp_path, content):
    path = tmp_path / "torn.zip"
    path.write_bytes(content)
    ((name, error),) = batch_files.pictures([("torn.zip", path)])
    assert name == "torn.zip"
    assert str(error) == batch_files.ZIP_BROKEN
    assert batch_files.count([("torn.zip", path)]) == 1


def test_an_entry_with_a_wrong_checksum_does_not_stop_the_others(tmp_path):
    path = packed(tmp_path / "x.zip", {"1.png": b"first", "2.png": b"second"})
    path.write_bytes(path.read_bytes().replace(b"first", b"worse", 1))
    (first, error), second = batch_files.pictures([("x.zip", path)])
    assert (first, str(error)) == ("x.zip/1.png", batch_files.ENTRY_BROKEN)
    assert second == ("x.zip/2.png", b"second")


def test_a_bomb_is_read_no_further_than_the_limit(tmp_path, monkeypatch):
    monkeypatch.setattr(batch_files, "MAX_FILE_BYTES", 1000)
    path = tmp_path / "bomb.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("1.png", b"0" * 10_000_000)
    ((_, content),) = batch_files.pictures([("bomb.zip", path)])
    assert len(content) == 1001


def test_no_more_files_are_read_than_the_limit(tmp_path, monkeypatch, picture):
    monkeypatch.setattr(batch_files, "MAX_FILES", 3)
    archive = packed(tmp_path / "x.zip", {f"{i}.png": b"" for i in range(5)})
    sent = [("a.png", picture), ("x.zip", archive)]
    assert len(list(batch_files.pictures(sent))) == 3
    assert batch_files.count(sent) == 6


class NoFace:
    """A detective that finds no face."""

    def analyze(self, picture: Image.Image) -> list:
        return []


def test_an_unreadable_file_keeps_the_reason_and_its_row_stays_as_it_was(tmp_path, picture):
    broken = tmp_path / "b.png"
    broken.write_bytes(b"no picture")
    sent = [("a.png", picture), ("b.png", broken), ("c.zip", broken)]
    good, bad, torn = batch_files.read(NoFace(), batch_files.pictures(sent))
    assert good.notice == ""
    assert "no picture that can be read" in bad.notice
    assert torn.notice == batch_files.ZIP_BROKEN
    assert bad.rows == [unreadable_row("b.png", bad.notice)]


def test_a_thumbnail_is_small_and_has_its_boxes(picture):
    face = prediction("happy", 1.0, (200, 200, 600, 600))
    black = Image.new("RGB", (1200, 900))
    thumbnail = batch_files.FileResult([], black, [face]).thumbnail()
    assert thumbnail.size == (240, 180)
    column = [thumbnail.getpixel((40 + x, 80)) for x in range(-2, 4)]  # its left edge, a fifth
    assert max(map(max, column)) > 150
    assert thumbnail.getpixel((80, 80)) == (0, 0, 0)
