"""What reaches Gradio, and what it may do with it: fetch nothing, log no input, keep little.

Gradio 6.31 has no setting for any of this: `guard` puts pieces of ours in the place of its own, and
`Gate` stands before it.
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr
from gradio import processing_utils, route_utils
from gradio.exceptions import InvalidPathError
from gradio.utils import LRUCache
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from emotion_detective.page.uploads import UPLOAD_ONLY, errors_as_messages, under_way, uploaded_path

UPLOAD_ROUTE = "/gradio_api/upload"
# What no page of ours asks for: Gradio fetches any public address for whoever sends one, keeps
# recordings of the screen, what is sent to a component and what a session holds, and logs what a
# component is asked for.
REFUSED_ROUTES = re.compile(
    "/gradio_api/(file[=/]https?:|process_recording|component_server|custom_component|deep_link)",
    re.IGNORECASE,
)
# Whatever is sent but files, which Gradio writes to disk as they come: a webcam's frame of 4K takes
# 5 MB as text, a thousand uploads' names half of one. It is held in memory several times over.
MAX_MESSAGE_BYTES = 16_000_000
# Where Gradio looks for uploads among the parts of a message.
UPLOAD_FIELD = "files"
# Gradio's page has names of 10 letters, its client of 36.
MAX_SESSION_LETTERS = 100
UNFIT = "These inputs do not fit: /gradio_api/info says what this endpoint takes."


class Gate:
    """ASGI middleware: what comes to Gradio at all.

    Answers `REFUSED_ROUTES` with status 403 and a message over `MAX_MESSAGE_BYTES` with 413.
    Uploads pass: `max_file_size` of Gradio limits each file.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limited = RequestBodyLimitMiddleware(app, MAX_MESSAGE_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope.get("path", "")
        if REFUSED_ROUTES.search(path):
            app = PlainTextResponse(UPLOAD_ONLY, 403)
        else:
            app = self._app if path.endswith(UPLOAD_ROUTE) else self._limited
        await app(scope, receive, send)


def guard(demo: gr.Blocks) -> None:
    """Have Gradio fetch no address, hold uploads to files, log no input and outlive its sessions.

    Call it after `demo.queue`.
    """
    # Gradio would download any public address that stands where an upload belongs.
    processing_utils.async_ssrf_protected_download = _fetch_nothing
    route_utils.GradioMultiPartParser = _FilesOnly
    demo.preprocess_data = _without_quoting(demo.preprocess_data)
    demo._queue.pending_messages_per_session = _Sessions(demo._queue)


async def _fetch_nothing(url: str, cache_dir: str) -> str:
    with errors_as_messages():
        return str(uploaded_path(url))  # it may be the address of an upload


class _FilesOnly(route_utils.GradioMultiPartParser):
    """Reads files only: a text field would be held in memory, however long. Leaves none half read.

    Gradio itself deletes them only where the message is wrong, not where it breaks off.
    """

    def on_headers_finished(self) -> None:
        super().on_headers_finished()
        part = self._current_part
        # Of others Gradio knows nothing later. In these words it answers with status 413.
        if part.file is None or part.field_name != UPLOAD_FIELD:
            raise MultiPartException("A field exceeds the maximum allowed size of 0 bytes.")

    async def parse(self) -> Any:
        try:
            return await super().parse()
        except BaseException:
            for file in self._files_to_close_on_error:
                file.close()
                Path(file.name).unlink(missing_ok=True)
            raise


def _without_quoting(preprocess: Callable) -> Callable:
    """Return Gradio's `preprocess`, whose errors would be logged with the inputs in them."""

    async def quietly(*args, **kwargs) -> list:
        try:
            return await preprocess(*args, **kwargs)
        except gr.Error:
            raise
        except InvalidPathError as error:
            raise gr.Error(UPLOAD_ONLY, print_exception=False) from error
        except Exception as error:
            raise gr.Error(UNFIT, print_exception=False) from error

    return quietly


class _Sessions(LRUCache):
    """The queue's messages by session: makes room by forgetting one that nothing is under way for.

    Gradio forgets the oldest, and where that one waits its queue ends for good. Refuses long names,
    of which Gradio keeps thousands.
    """

    def __init__(self, queue: Any) -> None:
        super().__init__(queue.pending_messages_per_session.max_size)
        self._queue = queue

    def __setitem__(self, session: str, messages: Any) -> None:
        if len(session) > MAX_SESSION_LETTERS:
            raise HTTPException(400, "A session_hash has a few letters.")
        if session not in self and len(self) >= self.max_size:
            busy = {event.session_hash for event in under_way(self._queue)}
            if idle := next((known for known in self if known not in busy), None):
                self.move_to_end(idle, last=False)  # the next to go
                self._queue.pending_event_ids_session.pop(idle, None)
        super().__setitem__(session, messages)
