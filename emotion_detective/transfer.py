"""Files that visitors send and take away: nothing is fetched for them, nothing stays behind.

Events that take a file run with `preprocess=False`, so that Gradio hands over the upload unread;
`faces` and `video` open it, with their limits. Uploads, and files made for a visitor, lie in a
folder of this process, which `forget_in_time` keeps empty of what is old.
"""

import atexit
import base64
import os
import secrets
import shutil
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr
from gradio import processing_utils, route_utils
from gradio.utils import get_upload_folder
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

# Uploads and results are deleted when they are this old, looked for this often.
KEEP_SECONDS = 600
SWEEP_SECONDS = 60
KEEP_MINUTES = (KEEP_SECONDS + SWEEP_SECONDS) // 60
RESULT_GONE = f"This result is gone: results go within {KEEP_MINUTES} minutes. Send it again."
# Of this program's processes only: what is old here is deleted, whoever left it.
FOLDER = "emotion-detective"
UPLOAD_ONLY = "Send the file itself: this server reads no other files and fetches no addresses."
UPLOAD_GONE = f"The upload is not here: uploads go within {KEEP_MINUTES} minutes. Send it again."
# How clients of the Model Context Protocol name what they uploaded: as an address of this server.
FILE_ROUTE = "/gradio_api/file="
UPLOAD_ROUTE = "/gradio_api/upload"
# What a file system allows; a name is written once for every face.
MAX_NAME_LETTERS = 255
# Whatever is sent but files, which Gradio writes to disk as they come: a webcam's frame of 4K takes
# 5 MB as text, a thousand uploads' names half of one. It is held in memory several times over.
MAX_MESSAGE_BYTES = 16_000_000


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
    if not isinstance(path, str):
        raise ValueError(UPLOAD_ONLY)
    if FILE_ROUTE in path:
        path = unquote(path.partition(FILE_ROUTE)[2])
    try:
        path = Path(path).resolve()
        is_file = path.is_file()
    except (OSError, ValueError) as error:  # a name that is too long or holds a zero byte
        raise ValueError(UPLOAD_ONLY) from error
    if not path.is_relative_to(Path(get_upload_folder()).resolve()):
        raise ValueError(UPLOAD_ONLY)
    if not is_file:
        raise ValueError(UPLOAD_GONE)
    return path


def refuse_addresses() -> None:
    """Make Gradio refuse an http address that stands where an upload belongs, but an upload's own.

    Gradio 6 downloads such an address, if it is a public one, for every input of every event, and
    has no setting against that.
    """

    async def fetch_nothing(url: str, cache_dir: str) -> str:
        with errors_as_messages():
            return str(uploaded_path(url))

    processing_utils.async_ssrf_protected_download = fetch_nothing


def forget_in_time() -> None:
    """Give this process a folder for uploads, and have Gradio's sweep forget what is old.

    Gradio's own sweep goes through sets of names that change meanwhile, which ends it for good; it
    misses what a killed process left and what nobody took; and a visitor's last values, pictures
    among them, stay in memory until `state_session_capacity` others came. Call it before any
    component is made: they note the folder.
    """
    base = Path(os.environ.get("GRADIO_TEMP_DIR") or tempfile.gettempdir()) / FOLDER
    base.mkdir(parents=True, exist_ok=True)
    os.environ["GRADIO_TEMP_DIR"] = own = tempfile.mkdtemp(dir=base)
    # Gradio's end of the server does not wait for the sweep that it begins.
    atexit.register(shutil.rmtree, own, ignore_errors=True)
    route_utils.delete_files_created_by_app = _forget


def _forget(blocks: gr.Blocks, age: float | None) -> None:
    """Delete files and sessions not used for `age` seconds; None: all files of this process."""
    own = Path(get_upload_folder())
    if age is None:
        shutil.rmtree(own, ignore_errors=True)
        return
    kept = {str(name) for block in blocks.blocks.values() for name in _lasting(block)}
    for folder, _, names in os.walk(own.parent, topdown=False):
        for path in (*(Path(folder) / name for name in names), Path(folder)):
            with suppress(OSError):  # gone by now, or a folder that holds something
                old = time.time() - path.lstat().st_ctime > age
                if old and str(path) not in kept and path not in (own, own.parent):
                    path.rmdir() if path.is_dir() else path.unlink()
    for names in blocks.temp_file_sets:
        names.difference_update([name for name in list(names) if not Path(name).exists()])
    sessions = blocks.state_holder
    with sessions.lock:
        for session, used in list(sessions.time_last_used.items()):
            if (datetime.now() - used).total_seconds() > age:
                sessions.session_data.pop(session, None)
                sessions.time_last_used.pop(session, None)


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


class MessageLimit:
    """ASGI middleware: answers a message over `MAX_MESSAGE_BYTES` with status 413.

    Uploads pass: `max_file_size` of Gradio limits each file of them.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limited = RequestBodyLimitMiddleware(app, MAX_MESSAGE_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        is_upload = scope.get("path", "").endswith(UPLOAD_ROUTE)
        await (self._app if is_upload else self._limited)(scope, receive, send)


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
