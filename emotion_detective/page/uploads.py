"""Files that visitors send and take away: only uploads are read.

Events that take a file run with `preprocess=False`, so that Gradio hands over the upload unread;
`pictures` and `decoding` open it, with their limits. `upload_folder` says how long files stay.
"""

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import gradio as gr

from emotion_detective.core.rows import MAX_NAME_LETTERS
from emotion_detective.page import upload_folder
from emotion_detective.page.upload_folder import KEEP_MINUTES

RESULT_GONE = f"This result is gone: results go within {KEEP_MINUTES} minutes. Send it again."
UPLOAD_ONLY = "Send the file itself: this server reads no other files and fetches no addresses."
UPLOAD_GONE = f"The upload is not here: uploads go within {KEEP_MINUTES} minutes. Send it again."
# How clients of the Model Context Protocol name what they uploaded: as an address of this server.
FILE_ROUTE = "/gradio_api/file="
# Letters of a path, more than any system has.
MAX_PATH_LETTERS = 4096


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
    if not path.is_relative_to(upload_folder.path()):
        raise ValueError(UPLOAD_ONLY)
    if not is_file:
        raise ValueError(UPLOAD_GONE)
    return path


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


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Turn our one-sentence errors into Gradio's, which reach the visitor and no log."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error


def reserve(name: str) -> Path:
    """Return a path for a file that a visitor will download, deleted after `KEEP_SECONDS`."""
    folder = upload_folder.path() / secrets.token_hex(16)
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
