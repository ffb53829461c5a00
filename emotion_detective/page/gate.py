"""What reaches Gradio: listed routes, messages of limited size, uploads that hold files only.

`Gate` is ASGI middleware, given to Gradio's own application by `app_kwargs`. A route that a part of
the page needs is a line in `OPEN_ROUTES`. SECURITY.md says what the gate is for.
"""

import json
import re
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import suppress
from itertools import chain, islice
from typing import Any
from urllib.parse import parse_qsl

from starlette.middleware.body_limit import RequestBodyLimitMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import PlainTextResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from emotion_detective.page import upload_folder
from emotion_detective.page.file_parts import FileParts, RefusedError
from emotion_detective.page.uploads import UPLOAD_ONLY, uploaded_path

API = "/gradio_api/"
# What the page, its clients and tools ask for. Gradio 6.31 has more: it fetches any public address
# for whoever sends one, keeps recordings of the screen and what a session holds.
OPEN_ROUTES = (
    "upload",
    "upload_progress",
    "file=(?!https?:).*",
    "queue/(join|data|status)",
    "(call|call/v2|run|api)/[^/]+",
    "(call|call/v2)/[^/]+/[^/]+",
    "stream/[^/]+(/close)?",
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
# Where a message names files that wait for an answer, and where its sender listens for it.
ASKING = re.compile(r"queue/join|call/.*")
LISTENING = re.compile(r"queue/data|call/.*")
# Messages of tools have a form of their own, a camera's frames are JPEG.
NOT_INSPECTED = re.compile(r"(mcp|live/).*")
# Whatever is sent but files, which Gradio writes to disk as they come: the names of a thousand
# uploads take half of one MB. It is held in memory several times over.
MAX_MESSAGE_BYTES = 16_000_000
# Gradio's page has session names of 10 letters, its client of 36. Gradio keeps thousands of them.
MAX_NAME_LETTERS = 100
NAMES = ("session_hash", "event_id", "upload_id")
NAME_TOO_LONG = f"A session_hash, event_id or upload_id has {MAX_NAME_LETTERS} letters at most."
NO_JSON = "This message is no JSON that can be read."
# Messages whose files are kept until their sender listens, and files of each.
MAX_WAITING, MAX_NAMED = 1000, 200


class Gate:
    """ASGI middleware: refuses what Gradio must not see, and keeps files that wait for an answer.

    Status 403 for a route that is not open, 413 for a message or an upload that is too large, 400
    for one that cannot be read.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._limited = RequestBodyLimitMiddleware(self._inspect, MAX_MESSAGE_BYTES)
        self._waiting: OrderedDict[str, list[str]] = OrderedDict()
        self._listening: dict[str, list[str]] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        route, query = _route(scope), dict(parse_qsl(scope["query_string"].decode("latin-1")))
        app: ASGIApp = self._limited
        if route is not None and not OPEN.fullmatch(route):
            app = PlainTextResponse(UPLOAD_ONLY, 403)
        elif _has_long_name(query):
            app = PlainTextResponse(NAME_TOO_LONG, 400)
        elif route in ("upload", "upload/"):
            app = self._upload
        elif route and scope["method"] == "GET" and LISTENING.match(route):
            key = query.get("session_hash") or route.rstrip("/").rpartition("/")[2]
            with upload_folder.in_use(self._waiting.pop(key, ())) as names:
                self._listening[key] = names
                try:
                    await self._app(scope, receive, send)
                finally:
                    self._listening.pop(key, None)
            return
        await app(scope, receive, send)

    async def _upload(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass an upload on while it holds files; otherwise have Gradio delete what it has of it.

        An upload that breaks off is ended by a part that Gradio refuses, or its half would stay.
        """
        parts = FileParts(Request(scope).headers.get("content-type", ""))
        refusal: PlainTextResponse | None = None

        async def receive_part() -> Message:
            nonlocal refusal
            message = await receive()
            try:
                if message["type"] != "http.request":
                    raise RefusedError("The upload broke off.", 400)
                parts.read(message.get("body", b""))
            except RefusedError as error:
                refusal = PlainTextResponse(str(error), error.status)
                return {"type": "http.request", "body": parts.refused_part(), "more_body": False}
            return message

        async def send_unless_refused(message: Message) -> None:
            if refusal is None:
                await send(message)

        await self._app(scope, receive_part, send_unless_refused)
        if refusal is not None:
            await refusal(scope, receive, send)

    async def _inspect(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a message on that is JSON with names of usual length; keep the files it names."""
        route = _route(scope)
        if not route or scope["method"] != "POST" or NOT_INSPECTED.fullmatch(route):
            await self._app(scope, receive, send)
            return
        try:
            body = await Request(scope, receive).body()
            message = json.loads(body)
        except ClientDisconnect:
            return
        except (ValueError, RecursionError):
            await PlainTextResponse(NO_JSON, 400)(scope, receive, send)
            return
        if _has_long_name(message):
            await PlainTextResponse(NAME_TOO_LONG, 400)(scope, receive, send)
            return
        names = _uploads(message) if ASKING.match(route) else []
        session = message.get("session_hash") if route.startswith("queue/") else None
        del message  # Gradio reads it once more
        answer = bytearray()

        async def receive_again() -> Message:
            nonlocal body
            if body is None:
                return await receive()
            body, whole = None, body
            return {"type": "http.request", "body": whole, "more_body": False}

        async def note(message: Message) -> None:
            answer.extend(message.get("body", b"") if names else b"")
            await send(message)

        upload_folder.touch(names)
        await self._app(scope, receive_again, note)
        if names and (key := session or _event_id(bytes(answer))):
            self._keep(key, names)

    def _keep(self, key: str, names: list[str]) -> None:
        """Keep files for whoever listens, now or in time, for the answers to `key`."""
        if key in self._listening:
            self._listening[key].extend(names)
            return
        self._waiting.setdefault(key, []).extend(names)
        if len(self._waiting) > MAX_WAITING:
            self._waiting.popitem(last=False)


def _route(scope: Scope) -> str | None:
    """Return what stands after /gradio_api/ in the path below the place of mounting, if it does."""
    path, root = scope["path"], scope.get("root_path", "").rstrip("/")
    if root and path.startswith(f"{root}/"):
        path = path[len(root) :]
    return path[len(API) :] if path.startswith(API) else None


def _has_long_name(fields: Any) -> bool:
    """Tell whether a session, an event or an upload is called what no client calls it."""
    values = (fields.get(name) for name in NAMES) if isinstance(fields, dict) else ()
    return any(isinstance(value, str) and len(value) > MAX_NAME_LETTERS for value in values)


def _uploads(message: Any) -> list[str]:
    """Return the uploads that a message names: each value is one, a list of some, or neither."""
    if not isinstance(message, dict):
        return []
    data = message.get("data", list(message.values()))
    values = data if isinstance(data, list) else []
    several = (value if isinstance(value, list) else [value] for value in values)
    return list(_paths(islice(chain.from_iterable(several), MAX_NAMED)))


def _paths(values: Iterator[Any]) -> Iterator[str]:
    for value in values:
        if isinstance(value, dict):
            with suppress(ValueError):
                yield str(uploaded_path(value))


def _event_id(answer: bytes) -> str | None:
    """Return which event Gradio says it has begun."""
    with suppress(ValueError, AttributeError):
        return json.loads(answer).get("event_id")
    return None
