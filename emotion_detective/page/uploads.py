"""Files that visitors send and take away: only uploads are read, and nothing stays behind.

Events that take a file run with `preprocess=False`, so that Gradio hands over the upload unread;
`pictures` and `decoding` open it, with their limits. Uploads, and files made for a visitor, lie in
a folder of this process, which `forget_in_time` keeps empty of what is old.
"""

import atexit
import base64
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from itertools import chain, islice
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio import mcp, route_utils
from gradio.utils import get_upload_folder

from emotion_detective.inference.rows import MAX_NAME_LETTERS

# Uploads and results are deleted when they are this old, looked for this often.
KEEP_SECONDS = 600
SWEEP_SECONDS = 60
KEEP_MINUTES = (KEEP_SECONDS + SWEEP_SECONDS) // 60
# How long one message may upload: its files lie right in the folder until the last one is there.
UPLOADING_SECONDS = 3600
RESULT_GONE = f"This result is gone: results go within {KEEP_MINUTES} minutes. Send it again."
# Each process has a folder whose name begins with this, and touches it at every sweep: one that is
# older than this belonged to a process that was killed.
PREFIX = "emotion-detective-uploads-"
KILLED_SWEEPS = 3
UPLOAD_ONLY = "Send the file itself: this server reads no other files and fetches no addresses."
UPLOAD_GONE = f"The upload is not here: uploads go within {KEEP_MINUTES} minutes. Send it again."
# How clients of the Model Context Protocol name what they uploaded: as an address of this server.
FILE_ROUTE = "/gradio_api/file="
# Letters of a path, more than any system has; uploads of one event that are kept for it.
MAX_PATH_LETTERS, MAX_NAMED = 4096, 1000
_in_use: list[set[str]] = []


def uploaded_path(upload: Any) -> Path:
    """Return where an uploaded file lies.

    Args:
        upload: Gradio's `FileData` as a dictionary, as the browser or a client sent it, or the
            upload's address on this server.

    Raises:
        ValueError: not an upload, such as a path of this machine written by hand, or one that was
            deleted.
    """
    path = upload.get("path") if isinstance(upload, dict) else upload
    # Python takes hours to resolve one of a million folders.
    if not isinstance(path, str) or len(path) > MAX_PATH_LETTERS:
        raise ValueError(UPLOAD_ONLY)
    if FILE_ROUTE in path:
        path = unquote(path.partition(FILE_ROUTE)[2])
    try:
        path = Path(path).resolve()
        is_file = path.is_file()
    # A name that is too long or holds a zero byte; links in a circle.
    except (OSError, ValueError, RuntimeError) as error:
        raise ValueError(UPLOAD_ONLY) from error
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise ValueError(UPLOAD_ONLY)
    if not is_file:
        raise ValueError(UPLOAD_GONE)
    return path


def forget_in_time() -> None:
    """Give this process a folder for uploads, and have Gradio's sweep forget what is old.

    Gradio's own sweep goes through sets of names that change meanwhile, which ends it for good; it
    misses what a killed process left and what nobody took; and a visitor's last values, pictures
    among them, stay in memory until `state_session_capacity` others came. Call it before any
    component is made: they note the folder.
    """
    base = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()).resolve()
    base.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = own = tempfile.mkdtemp(prefix=PREFIX, dir=base)
    mcp.DEFAULT_TEMP_DIR = own  # noted when Gradio was imported
    # Gradio's end of the server does not wait for the sweep that it begins.
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    route_utils.delete_files_created_by_app = _forget


def _forget(blocks: gr.Blocks, age: float | None) -> None:
    """Delete files and sessions not used for `age` seconds; None: all files of this process.

    Uploads that an event names which waits or runs are in use, and so is its session.
    """
    own = Path(get_upload_folder())
    if age is None:
        shutil.rmtree(own, ignore_errors=True)
        return
    own.mkdir(mode=0o700, parents=True, exist_ok=True)
    os.utime(own)
    events = under_way(blocks._queue)
    for event in events:
        for path in _named(event.data.data if event.data else []):
            with suppress(OSError):  # gone by now
                os.utime(path)
    for sibling in own.parent.glob(f"{PREFIX}*"):
        with suppress(OSError):  # gone by now
            if sibling != own and _older(sibling, KILLED_SWEEPS * SWEEP_SECONDS):
                shutil.rmtree(sibling, ignore_errors=True)
    kept = {str(name) for block in blocks.blocks.values() for name in _lasting(block)}
    kept = kept.union(*_in_use)
    for folder, _, names in os.walk(own, topdown=False):
        for path in (*(Path(folder) / name for name in names), Path(folder)):
            on_its_way = path.parent == own and not path.is_dir()
            with suppress(OSError):  # gone by now, or a folder that holds something
                old = _older(path, UPLOADING_SECONDS if on_its_way else age)
                if old and path != own and str(path) not in kept:
                    path.rmdir() if path.is_dir() else path.unlink()
    for names in blocks.temp_file_sets:
        names.difference_update([name for name in list(names) if not Path(name).exists()])
    sessions, waiting = blocks.state_holder, {event.session_hash for event in events}
    with sessions.lock:
        for session, used in list(sessions.time_last_used.items()):
            if session not in waiting and (datetime.now() - used).total_seconds() > age:
                sessions.session_data.pop(session, None)
                sessions.time_last_used.pop(session, None)


def under_way(queue: Any) -> list:
    """Return the events that wait or run in Gradio's queue.

    Not those of `event_ids_to_events`: one that is cancelled twice stays there for ever.
    """
    waiting = (of_one.queue for of_one in queue.event_queue_per_concurrency_id.values())
    return [event for events in (*queue.active_jobs, *waiting) for event in events or ()]


def _named(inputs: list) -> Iterator[Path]:
    """Yield the uploads among an event's inputs: a file, or a list of some."""
    several = (value if isinstance(value, list) else [value] for value in inputs)
    for upload in islice(chain.from_iterable(several), MAX_NAMED):
        with suppress(ValueError):
            yield uploaded_path(upload)


def _older(path: Path, seconds: float) -> bool:
    return time.time() - path.lstat().st_ctime > seconds


@contextmanager
def in_use(paths: Iterable[Path]) -> Iterator[None]:
    """Keep files that no event names from being forgotten, and `KEEP_SECONDS` longer."""
    names = {str(path) for path in paths}
    _in_use.append(names)
    try:
        yield
    finally:
        for name in names:
            with suppress(OSError):
                os.utime(name)
        _in_use.remove(names)


def _lasting(block: Any) -> set:
    """Return the files that a component shows to every visitor, such as examples."""
    return getattr(block, "keep_in_cache", set())


def uploaded_files(uploads: Any) -> list[tuple[str, Path]]:
    """Return `(name, path)` of each uploaded file; the name is what the visitor calls it.

    Raises:
        ValueError: something that is no upload.
    """
    if not isinstance(uploads, list):
        raise ValueError(UPLOAD_ONLY)
    paths = [uploaded_path(upload) for upload in uploads]
    names = [
        _readable(str((isinstance(upload, dict) and upload.get("orig_name")) or path.name))
        for upload, path in zip(uploads, paths, strict=True)
    ]
    return list(zip(names, paths, strict=True))


def _readable(name: str) -> str:
    """Return a name that can be written to a file: half characters, which JSON can hold, cannot."""
    return name[:MAX_NAME_LETTERS].encode("utf-8", "replace").decode()


def uploaded_frame(upload: Any) -> bytes:
    """Return one frame of a webcam's stream, which the browser sends as a `data:` address.

    Raises:
        ValueError: anything else.
    """
    url = upload.get("url") if isinstance(upload, dict) else None
    if not isinstance(url, str) or not url.startswith("data:image/"):
        raise ValueError(UPLOAD_ONLY)
    try:
        return base64.b64decode(url.partition(",")[2])
    except ValueError as error:
        raise ValueError(UPLOAD_ONLY) from error


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Turn our one-sentence errors into Gradio's, which reach the visitor and no log."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error


def reserve(name: str) -> Path:
    """Return a path for a file that a visitor will download, deleted after `KEEP_SECONDS`."""
    folder = Path(get_upload_folder()) / secrets.token_hex(16)
    folder.mkdir(parents=True)
    return folder / name


def keep(content: str | bytes, name: str) -> str:
    """Write a file for a visitor to download; return its path."""
    path = reserve(name)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return str(path)


def as_download(path: str) -> gr.FileData:
    """Return a kept file as an answer of the API: the client downloads it."""
    return {"path": path, "orig_name": Path(path).name, "meta": {"_type": "gradio.FileData"}}
