"""Many pictures, loose or in zip files -> one answer a file; a bad file never stops the rest.

    for result in batch_files.read(detective, batch_files.pictures([("holiday.zip", path)])): ...

Zip files are read entry by entry in memory and never unpacked to disk. Knows no Gradio.
"""

import io
import struct
import zipfile
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path

from PIL import Image

from emotion_detective.core import drawing
from emotion_detective.core.detective import EmotionDetective, Prediction
from emotion_detective.core.rows import MAX_NAME_CHARACTERS, Row, file_rows, unreadable_row
from emotion_detective.files import MAX_FILE_BYTES, read_picture

MAX_FILES = 200
# A zip's directory is held in memory ten times its size, and 46 bytes make an entry. Room for
# 40,000 files with names of 50 letters.
MAX_DIRECTORY_BYTES = 4_000_000
# The other methods are unpacked by Python without a limit: a few kilobytes fill the memory.
ZIP_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
THUMBNAIL_PX = 240
# What zipfile raises on broken, encrypted or exotic entries.
ZIP_ERRORS = (
    zipfile.BadZipFile,
    zlib.error,
    OSError,
    EOFError,
    RuntimeError,  # and NotImplementedError
    ValueError,
    struct.error,
)
# What macOS and Windows put into zip files of their own accord.
IGNORED_FOLDER = "__MACOSX/"
IGNORED_FILES = (".", "Thumbs.db", "desktop.ini")

ZIP_BROKEN = "The zip file is broken or cut short; pack it again."
ENTRY_BROKEN = "It cannot be unpacked, being damaged or locked with a password; pack it again."
ENTRY_ODD = "It is packed in a way that is not read here; pack it again as a usual zip file."

# A file, the content of one, or why there is none.
Source = Path | bytes | ValueError


@dataclass(frozen=True)
class FileResult:
    """One file's rows, and the picture and faces that they tell of; None if unreadable.

    `notice` says why it is unreadable, or what of it could not be read; "" of a whole one.
    """

    rows: list[Row]
    picture: Image.Image | None = None
    faces: Sequence[Prediction] = ()
    notice: str = ""
    is_cut: bool = False

    def thumbnail(self) -> Image.Image | None:
        """Return the picture, small and with the faces drawn."""
        if self.picture is None:
            return None
        small = self.picture.copy()
        small.thumbnail((THUMBNAIL_PX, THUMBNAIL_PX))
        scale = small.width / self.picture.width
        faces = [
            replace(face, box_xyxy=tuple(at * scale for at in face.box_xyxy)) for face in self.faces
        ]
        return drawing.draw_faces(small, faces)


def count(files: Iterable[tuple[str, Path]]) -> int:
    """Return how many pictures there seem to be, `MAX_FILES` or not."""
    return sum(_count_entries(path) if _is_zip(name) else 1 for name, path in files)


def pictures(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Source]]:
    """Yield `(name, source)` of each file, at most `MAX_FILES`; a zip file's entries one by one.

    An entry or a zip file that cannot be unpacked is yielded with the error that says why. A name
    that came before, from another folder, has its number behind it.
    """
    names: Counter[str] = Counter()
    for name, source in islice(_unpacked(files), MAX_FILES):
        names[name] += 1
        yield name if names[name] == 1 else f"{name} ({names[name]})", source


def _unpacked(files: Iterable[tuple[str, Path]]) -> Iterator[tuple[str, Source]]:
    for name, path in files:
        if not _is_zip(name):
            yield name, path
            continue
        try:
            with _open(path) as archive:
                for entry in _select(archive):
                    shown = f"{name}/{entry.filename[-MAX_NAME_CHARACTERS:]}"
                    yield shown, _content(archive, entry)
        except ZIP_ERRORS:
            yield name, ValueError(ZIP_BROKEN)


def _is_zip(name: str) -> bool:
    return name.lower().endswith(".zip")


class _ZipReader(io.FileIO):
    """A zip file whose directory `zipfile`, which reads it in one piece, gets up to a limit."""

    limit: int | None = MAX_DIRECTORY_BYTES

    def read(self, size: int | None = -1) -> bytes:
        if self.limit is None:
            return super().read(size)
        wanted = self.limit + 1 if size is None or size < 0 else min(size, self.limit + 1)
        content = super().read(wanted)
        if len(content) > self.limit:
            raise zipfile.BadZipFile("a directory that is too large")
        return content


@contextmanager
def _open(path: Path) -> Iterator[zipfile.ZipFile]:
    """Open a zip file unless its directory is too large to be read."""
    with _ZipReader(path) as file, zipfile.ZipFile(file) as archive:
        file.limit = None
        yield archive


def _select(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """Return a zip file's entries without folders and what systems add of their own accord."""
    return [
        entry
        for entry in archive.infolist()
        if not entry.is_dir()
        and not entry.filename.startswith(IGNORED_FOLDER)
        and not entry.filename.rpartition("/")[2].startswith(IGNORED_FILES)
    ]


def _count_entries(path: Path) -> int:
    try:
        with _open(path) as archive:
            return len(_select(archive))
    except ZIP_ERRORS:
        return 1


def _content(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> bytes | ValueError:
    """Return an entry, cut just above `MAX_FILE_BYTES`, whatever size it states."""
    if entry.compress_type not in ZIP_METHODS:
        return ValueError(ENTRY_ODD)
    try:
        with archive.open(entry) as file:
            return file.read(MAX_FILE_BYTES + 1)
    except ZIP_ERRORS:
        return ValueError(ENTRY_BROKEN)


def read(detective: EmotionDetective, files: Iterable[tuple[str, Source]]) -> Iterator[FileResult]:
    """Yield one result a file, in order."""
    for name, source in files:
        try:
            if isinstance(source, ValueError):
                raise source
            opened = read_picture(source)
            found = detective.analyze(opened.picture)
        except ValueError as error:
            yield FileResult([unreadable_row(name, str(error))], notice=str(error))
            continue
        yield FileResult(
            file_rows(name, found), opened.picture, found, opened.notice, opened.is_cut
        )
