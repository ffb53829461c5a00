"""Files that visitors send and take away: where they lie, which are read, and how long they stay.

    uploads.claim()   # before Gradio is imported, which notes the folder

Each process has a folder of its own. A file is deleted `KEEP_SECONDS` after its last use, and all
of them when the process ends; what a killed process left is deleted by the sweeps of the next one.
Only files of this folder are read: `pictures` and `decoding` open them, with their limits. Knows no
Gradio: the folder's path reaches it as GRADIO_TEMP_DIR.
"""

import atexit
import math
import os
import secrets
import shutil
import tempfile
import threading
import time
import weakref
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from emotion_detective.core.rows import MAX_NAME_CHARACTERS

VARIABLE = "GRADIO_TEMP_DIR"
# The sweep, once a minute, deletes files that nobody has used for so long: longer than an event
# waits for its turn, so that no list of waiting files is needed.
KEEP_SECONDS, SWEEP_SECONDS = 29 * 60, 60
KEEP_MINUTES = (KEEP_SECONDS + SWEEP_SECONDS) // 60
# Each process touches its folder at every sweep: an older one belongs to a killed process.
PREFIX = "emotion-detective-uploads-"
KILLED_SWEEPS = 3
RESULT_GONE = (
    f"This result is gone: results are deleted after {KEEP_MINUTES} minutes. Send it again."
)
UPLOAD_ONLY = "Send the file itself: this server reads no other files and fetches no addresses."
UPLOAD_GONE = f"The upload is gone: it is deleted after {KEEP_MINUTES} minutes. Send it again."
# How clients of the Model Context Protocol name what they uploaded: as an address of this server.
FILE_ROUTE = "/gradio_api/file="
# Characters of a path, more than any system has.
MAX_PATH_CHARACTERS = 4096

_kept: weakref.WeakSet["Kept"] = weakref.WeakSet()


def folder() -> Path:
    """Return where uploads lie: the folder of this process, or Gradio's own if none is claimed."""
    return Path(os.environ.get(VARIABLE) or Path(tempfile.gettempdir()) / "gradio").resolve()


def claim() -> None:
    """Make this process its folder, below the one that GRADIO_TEMP_DIR names, and sweep it."""
    base = Path(os.environ.get(VARIABLE) or tempfile.gettempdir()).resolve()
    base.mkdir(parents=True, exist_ok=True)
    own = Path(tempfile.mkdtemp(prefix=PREFIX, dir=base))
    os.environ[VARIABLE] = str(own)
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    threading.Thread(target=_sweep_forever, args=[own], name="sweep", daemon=True).start()


def uploaded_path(upload: Any) -> Path:
    """Return where an uploaded file lies, which counts as used now.

    Args:
        upload: Gradio's `FileData` as a dictionary, as the browser or a client sent it, or the
            upload's address on this server.
    """
    path = upload.get("path") if isinstance(upload, dict) else upload
    # Python takes hours to resolve one of a million folders.
    if not isinstance(path, str) or len(path) > MAX_PATH_CHARACTERS:
        raise ValueError(UPLOAD_ONLY)
    if FILE_ROUTE in path:
        path = unquote(path.partition(FILE_ROUTE)[2])
    try:
        path = Path(path).resolve()
        is_file = path.is_file()
    # A name that is too long or holds a zero byte; links in a circle.
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(UPLOAD_ONLY) from error
    if not path.is_relative_to(folder()):
        raise ValueError(UPLOAD_ONLY)
    if not is_file:
        raise ValueError(UPLOAD_GONE)
    with suppress(OSError):  # deleted just now
        os.utime(path)
    return path


def uploaded_files(uploads: Any) -> list[tuple[str, Path]]:
    """Return `(name, path)` of each uploaded file; the name is what the visitor calls it."""
    if not isinstance(uploads, list):
        raise ValueError(UPLOAD_ONLY)
    found = []
    for upload in uploads:
        path = uploaded_path(upload)
        name = str((isinstance(upload, dict) and upload.get("orig_name")) or path.name)
        # JSON can hold half characters, which cannot be written to a file.
        readable = name[:MAX_NAME_CHARACTERS].encode("utf-8", "replace").decode()
        found.append((readable, path))
    return found


def reserve(name: str) -> Path:
    """Return a path, in a folder that nobody can guess, for a file that comes or is taken away."""
    parent = folder() / secrets.token_hex(16)
    parent.mkdir(parents=True)
    return parent / name


def keep(content: str | bytes, name: str) -> str:
    """Write a file for a visitor to download; return its path.

    A CSV gets a byte order mark, without which Excel reads names with umlauts wrongly.
    """
    path = reserve(name)
    if isinstance(content, str):
        content = content.encode("utf-8-sig" if name.endswith(".csv") else "utf-8")
    path.write_bytes(content)
    return str(path)


def as_download(path: str) -> dict[str, Any]:
    """Return a kept file as Gradio's `FileData`: the client downloads it."""
    return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}


class Kept:
    """A value in memory for one visitor, forgotten `KEEP_SECONDS` after its last use.

    What `gr.State` holds stays for an hour after its page was closed; let it hold one of these.
    """

    def __init__(self, value: object) -> None:
        self._value: object | None = value
        self._used_s = time.monotonic()
        _kept.add(self)

    @property
    def value(self) -> object | None:
        """The value; None if it is forgotten."""
        self._used_s = time.monotonic()
        return self._value

    def forget_if_idle(self) -> None:
        if time.monotonic() - self._used_s > KEEP_SECONDS:
            self._value = None


def _sweep_forever(own: Path) -> None:
    while True:
        with suppress(OSError):  # a disk that is full for a moment must not end the thread
            sweep(own)
        time.sleep(SWEEP_SECONDS)


def sweep(own: Path) -> None:
    """Delete what is old in `own`, and the folders beside it that killed processes left."""
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.utime(own)
    for sibling in own.parent.glob(f"{PREFIX}*"):
        with suppress(FileNotFoundError):  # another process deletes it
            if sibling != own and _age_s(sibling) > KILLED_SWEEPS * SWEEP_SECONDS:
                shutil.rmtree(sibling, ignore_errors=True)
    for kept in list(_kept):
        kept.forget_if_idle()
    _delete_inside(own, KEEP_SECONDS)


@asynccontextmanager
async def emptied_at_end(app: object) -> AsyncIterator[None]:
    """Delete what visitors sent and took away when the server of `app` ends: its lifespan.

    A server that ends by a signal, as uvicorn does where the page is mounted, runs no `atexit`.
    """
    try:
        yield
    finally:
        _delete_inside(folder(), -math.inf)


def _delete_inside(own: Path, seconds: float) -> None:
    """Delete the files of a folder, and its empty folders, that are older than so many seconds."""
    for parent, folders, files in os.walk(own, topdown=False):
        for found in (Path(parent) / name for name in [*files, *folders]):
            with suppress(OSError):  # already deleted, or a folder that holds something
                if _age_s(found) > seconds:
                    found.rmdir() if found.is_dir() else found.unlink()


def _age_s(found: Path) -> float:
    """Return for how long nobody has changed or touched a file."""
    return time.time() - found.lstat().st_ctime
