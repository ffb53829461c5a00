"""All that leans on more of Gradio than its documentation promises; seen with Gradio 6.31.

    with Page(title="Emotion Detective") as demo: ...
    demo.launch(app_kwargs=demo.guarded(routes))

Another version does not start (`SEEN_WITH`). What to look at before it is allowed:

- `Page.preprocess_data`: Gradio fetches every address that stands in the place of a file, and logs
  inputs that do not fit. If it is called something else, addresses are fetched again.
- `Page.run_startup_events`: `launch` and `mount_gradio_app` both call it; a page without its gate
  does not start. `max_threads` and `state_session_capacity` are arguments of `launch` only.
- `OPEN_ROUTES`: routes that the page and its clients ask for. A renamed one answers 403.
- `receive`: stands in the place of Gradio's upload, which holds text fields in memory whatever
  their length, and leaves half of a file on a full disk or a broken connection.
- `Head`: Gradio's page has its own preview in its `<head>`; a crawler takes the first of several.
"""

import errno
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from html import escape
from pathlib import Path
from shutil import copyfileobj, rmtree
from typing import Any
from urllib.parse import parse_qsl

import gradio as gr
from gradio_client.utils import strip_invalid_filename_characters
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders, UploadFile
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_detective.page import uploads
from emotion_detective.page.uploads import UPLOAD_ONLY
from emotion_detective.video.decoding import MAX_FILE_BYTES

SEEN_WITH = "6.31"
# The concurrency limits of all events together let no more than these work at a time.
MAX_THREADS = 12
# Visitors whose last inputs Gradio keeps, some 100 kB each; of any number of visitors the latest.
MAX_SESSIONS = 256
API = "/gradio_api/"
OPEN_ROUTES = (
    "upload",
    "file=(?!https?:).*",
    "queue/(join|data|status)",
    "(call|call/v2|run|api)/[^/]+",
    "(call|call/v2)/[^/]+/[^/]+",
    "cancel",
    "reset",
    "heartbeat/[^/]+",
    "info",
    "openapi.json",
    "startup-events",
    "app_id",
    "user",
    "login_check",
    "theme.css",
    "mcp(/.*)?",
    "live/(frame|end)",
)
OPEN = re.compile(f"({'|'.join(OPEN_ROUTES)})/?", re.IGNORECASE | re.DOTALL)
# Messages of tools have a form of their own; a camera's frames are JPEG, uploads are files.
NOT_INSPECTED = re.compile(r"(mcp|live/|upload).*")
# Any message but an upload: the names of a thousand uploads take half of one MB. It is held in
# memory several times over.
MAX_MESSAGE_BYTES = 16_000_000
# All files of one upload together: two hundred photos of a telephone.
MAX_UPLOAD_BYTES = 2_000_000_000
# Gradio's page has session names of 10 characters, its client of 36. Gradio keeps thousands.
MAX_NAME_CHARACTERS = 100
NAMES = ("session_hash", "event_id", "upload_id")

UNGUARDED = (
    "This page would be open to more than its visitors need: start it with python app.py, or mount "
    "it with app.mount(your_app, path)."
)
UNFIT = "These inputs do not fit: /gradio_api/info says what this endpoint takes."
NAME_TOO_LONG = (
    f"A session_hash, event_id or upload_id has {MAX_NAME_CHARACTERS} characters at most."
)
NO_JSON = "This message is no JSON that can be read."
NO_ROOM = "The server has no room for this file now. Try again in a few minutes."
FILES_ONLY = "An upload is multipart/form-data with files only, each in a field named files."
TOO_LARGE = f"A file may have {MAX_FILE_BYTES / 1e6:.0f} MB at most."
ADDRESS = re.compile(r"\s*[a-z][a-z0-9+.-]*://", re.IGNORECASE)

if not gr.__version__.startswith(f"{SEEN_WITH}."):
    raise ImportError(
        f"This page protects its visitors with Gradio {SEEN_WITH} and has Gradio {gr.__version__}. "
        "Run: pip install -r requirements.txt"
    )


class Page(gr.Blocks):
    """`gr.Blocks` that starts only behind its gate, fetches no address and quotes no input."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.max_threads = MAX_THREADS
        self.state_session_capacity = MAX_SESSIONS
        self.is_guarded = False

    def guarded(self, routes: list[Route], *others: Middleware) -> dict[str, Any]:
        """Return the `app_kwargs` with which the page may start; other middleware comes after."""
        self.is_guarded = True
        upload = Route(f"{API}upload", receive, methods=["POST"], max_body_size=MAX_UPLOAD_BYTES)
        return {
            "middleware": [Middleware(Gate), *others],
            "routes": [upload, *routes],
            "lifespan": uploads.emptied_at_end,
        }

    def run_startup_events(self) -> None:
        """Start the queue, which both `launch` and mounting do; RuntimeError without a gate."""
        if not self.is_guarded:
            raise RuntimeError(UNGUARDED)
        super().run_startup_events()

    async def preprocess_data(
        self, block_fn: Any, inputs: list, state: Any, explicit_call: bool = False
    ) -> list:
        """Return the inputs of an event as its function gets them.

        For inputs that do not fit it raises `gr.Error`, which does not quote them: Gradio logs any
        other error.
        """
        try:
            with errors_as_messages():
                local = _without_addresses(inputs)
            return await super().preprocess_data(block_fn, local, state, explicit_call)
        except gr.Error as error:  # for the visitor, who knows the inputs
            raise gr.Error(error.message, print_exception=False) from error
        except gr.exceptions.InvalidPathError as error:
            raise gr.Error(UPLOAD_ONLY, print_exception=False) from error
        except Exception as error:
            raise gr.Error(UNFIT, print_exception=False) from error


@contextmanager
def errors_as_messages() -> Iterator[None]:
    """Turn our one-sentence errors into Gradio's, which reach the visitor and no log."""
    try:
        yield
    except ValueError as error:
        raise gr.Error(str(error), print_exception=False) from error


def _without_addresses(value: Any) -> Any:
    """Return inputs whose files lie here: an upload's address on this server becomes its path."""
    if isinstance(value, list):
        return [_without_addresses(each) for each in value]
    if not isinstance(value, dict):
        return value
    local = {name: _without_addresses(each) for name, each in value.items()}
    path = local.get("path")
    if isinstance(path, str) and ADDRESS.match(path):
        local["path"] = str(uploads.uploaded_path(path))
    return local


class Gate:
    """ASGI middleware: refuses what Gradio must not see.

    Status 403 for a route that is not open, 413 for a message that is too large, 400 for one that
    cannot be read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limited = RequestBodyLimitMiddleware(self._inspect, MAX_MESSAGE_BYTES)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._next(scope)(scope, receive, send)

    def _next(self, scope: Scope) -> ASGIApp:
        if scope["type"] != "http":
            return self._app
        route, query = _route(scope), parse_qsl(scope["query_string"].decode("latin-1"))
        if route is not None and not OPEN.fullmatch(route):
            return PlainTextResponse(UPLOAD_ONLY, 403)
        if _has_long_name(dict(query)):
            return PlainTextResponse(NAME_TOO_LONG, 400)
        return self._app if route in ("upload", "upload/") else self._limited

    async def _inspect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a message on that is JSON with names of usual length."""
        route = _route(scope)
        if not route or scope["method"] != "POST" or NOT_INSPECTED.fullmatch(route):
            await self._app(scope, receive, send)
            return
        try:
            whole = [await Request(scope, receive).body()]
            refusal = NAME_TOO_LONG if _has_long_name(json.loads(whole[0])) else ""
        except ClientDisconnect:
            return
        except (ValueError, RecursionError):
            refusal = NO_JSON
        if refusal:
            await PlainTextResponse(refusal, 400)(scope, receive, send)
            return

        async def receive_again() -> Message:
            if not whole:
                return await receive()
            return {"type": "http.request", "body": whole.pop(), "more_body": False}

        await self._app(scope, receive_again, send)


def _route(scope: Scope) -> str | None:
    """Return what stands after /gradio_api/ in the path below the place of mounting, if it does."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    return path[len(API) :] if path.startswith(API) else None


def _has_long_name(fields: Any) -> bool:
    """Return whether the name of a session, an event or an upload is longer than any client's."""
    values = (fields.get(name) for name in NAMES) if isinstance(fields, dict) else ()
    return any(isinstance(value, str) and len(value) > MAX_NAME_CHARACTERS for value in values)


async def receive(request: Request) -> Response:
    """Keep the files of one upload; answer with their paths, which nobody else can guess.

    Starlette writes files that have no name on the disk: an upload that breaks off leaves nothing.
    """
    try:
        async with request.form(max_fields=0) as form:
            files = form.getlist("files")
            if not files or len(files) != len(form.multi_items()):
                return PlainTextResponse(FILES_ONLY, 400)
            if any(file.size > MAX_FILE_BYTES for file in files):
                return PlainTextResponse(TOO_LARGE, 413)
            return JSONResponse(await run_in_threadpool(_keep, files))
    except ClientDisconnect:
        return Response(status_code=400)
    except HTTPException as error:  # 413 for all files together
        if error.status_code != 400:
            raise
        return PlainTextResponse(FILES_ONLY, 400)
    except OSError as error:
        if error.errno not in (errno.ENOSPC, errno.EDQUOT):
            raise
        return PlainTextResponse(NO_ROOM, 507)


def _keep(files: list[UploadFile]) -> list[str]:
    """Write files to the folder of uploads, all or none; return their paths."""
    paths: list[Path] = []
    try:
        for file in files:
            name = strip_invalid_filename_characters(Path(file.filename or "").name)
            paths.append(uploads.reserve("file" if name in ("", "..") else name))
            with paths[-1].open("xb") as target:
                copyfileobj(file.file, target)
    except OSError:
        for path in paths:
            rmtree(path.parent, ignore_errors=True)
        raise
    return [str(path) for path in paths]


# Browsers look for it in the first 1024 bytes only.
_FIRST_TAG = '<meta charset="utf-8" />'
_PREVIEW_META = re.compile(r'<meta\s+(?:property|name)="(?:og|twitter):[^>]*>\s*')


class Head:
    """ASGI middleware: puts this page's description and preview in the place of Gradio's.

    Args:
        preview: properties for the `<head>`; {address} stands for where visitors find the page.
    """

    def __init__(self, app: ASGIApp, preview: dict[str, str]) -> None:
        self._app = app
        self._tags = "".join(
            f'<meta {"name" if name == "description" else "property"}="{name}" '
            f'content="{escape(value)}" />'
            for name, value in preview.items()
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in ("", "/"):
            return await self._app(scope, receive, send)
        start: Message = {}
        body = b""

        async def collect(message: Message) -> None:
            nonlocal start, body
            if message["type"] == "http.response.start":
                start = message
                return
            body += message.get("body", b"")
            if message.get("more_body"):
                return
            page = body
            if "text/html" in Headers(raw=start["headers"]).get("content-type", ""):
                page = self._with_tags(body.decode(), Request(scope)).encode()
                MutableHeaders(raw=start["headers"])["content-length"] = str(len(page))
            await send(start)
            await send({"type": "http.response.body", "body": page})

        await self._app(scope, receive, collect)

    def _with_tags(self, page: str, request: Request) -> str:
        """Return the page's HTML with the tags; a proxy in front of it says its address."""
        scheme = request.headers.get("x-forwarded-proto", request.url.scheme)
        host = request.headers.get("x-forwarded-host", request.url.netloc)
        # Of several proxies the first is the one that visitors see.
        scheme, host = (value.split(",")[0].strip() for value in (scheme, host))
        address = escape(f"{scheme}://{host}{request.scope.get('root_path', '')}")
        tags = self._tags.replace("{address}", address)
        return _PREVIEW_META.sub("", page).replace(_FIRST_TAG, f"{_FIRST_TAG}{tags}", 1)
