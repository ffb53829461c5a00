"""What the Live tab's script asks of the server, outside Gradio: one frame at a time, in memory.

    POST /gradio_api/live/frame   a JPEG -> its faces as JSON; nothing -> whether it is one's turn
    POST /gradio_api/live/end     -> the session's table as CSV, after which nothing of it is left

`X-Visitor` names the visitor. A frame is read, answered and forgotten: Gradio's own stream would
queue it, as text a third larger, and its call to a component's function takes it as JSON too. Under
Gradio's prefix, because its server-side rendering passes nothing else on.
"""

import math
import re
from io import BytesIO
from typing import Any

from PIL import Image
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route

from emotion_detective import LABELS
from emotion_detective.core.detective import EmotionDetective
from emotion_detective.files import DECODE_ERRORS
from emotion_detective.page import words
from emotion_detective.page.seats import MAX_LIVE, SESSION_SECONDS, Seats, Session
from emotion_detective.video.timeline import Reading, Timeline

ROUTE = "/gradio_api/live"
# Faces at arm's length fill a third of the picture: this side finds them in half the time.
FRAME_SIDE_PX = 480
# A camera's full resolution, for clients other than the script.
MAX_FRAME_SIDE_PX = 1920
# Five times a detailed JPEG of that side.
MAX_FRAME_BYTES = 500_000
VISITOR = re.compile(r"[0-9a-f]{32}")
SHARES_EVERY_S = 1.0
UNNAMED = "X-Visitor must be a random name of 32 hexadecimal digits."
HASTY = "The frame before this one is still being read: send the next after its answer."


def routes(detective: EmotionDetective) -> list[Route]:
    """Return the routes, for Gradio's `app_kwargs`."""
    seats = Seats(lambda: Timeline(LABELS, unsure_below=detective.classifier.unsure_below))

    async def frame(request: Request) -> Response:
        visitor, jpeg = _visitor(request), await request.body()
        try:
            return JSONResponse(await run_in_threadpool(answer, detective, seats, visitor, jpeg))
        except ValueError as error:
            raise HTTPException(400, str(error)) from error

    async def end(request: Request) -> Response:
        session = seats.leave(_visitor(request))
        table = await run_in_threadpool(session.timeline.csv) if session else ""
        return PlainTextResponse(table, media_type="text/csv")

    return [
        Route(f"{ROUTE}/frame", frame, methods=["POST"], max_body_size=MAX_FRAME_BYTES),
        Route(f"{ROUTE}/end", end, methods=["POST"], max_body_size=0),
    ]


def _visitor(request: Request) -> str:
    visitor = request.headers.get("x-visitor", "")
    if not VISITOR.fullmatch(visitor):
        raise HTTPException(400, UNNAMED)
    return visitor


def answer(detective: EmotionDetective, seats: Seats, visitor: str, jpeg: bytes) -> dict[str, Any]:
    """Return `place` and `minutes` of who waits, `over`, or `left_s` with what the frame shows.

    Boxes are in pixels of a frame of `size`, as the camera took it: the mirror is the browser's.
    """
    session = seats.take(visitor)
    if isinstance(session, int):
        return {"place": session, "minutes": _minutes(session)}
    if not session.left_s:
        return {"over": True}
    if not jpeg:
        return {"left_s": session.left_s}
    if not session.busy.acquire(blocking=False):
        raise ValueError(HASTY)
    try:
        return _read(detective, session, jpeg)
    finally:
        session.busy.release()


def _read(detective: EmotionDetective, session: Session, jpeg: bytes) -> dict[str, Any]:
    picture = _decode(jpeg)
    faces = detective.analyze(picture, upright_only=True)
    readings = session.timeline.add(session.time_s, faces)
    told: dict[str, Any] = {
        "left_s": session.left_s,
        "time_s": session.time_s,
        "size": picture.size,
        "faces": [_face(reading) for reading in readings],
    }
    if session.time_s - session.shares_s >= SHARES_EVERY_S:
        session.shares_s = session.time_s
        told["shares"] = session.timeline.frequencies().to_dict("records")
    return told


def _decode(jpeg: bytes) -> Image.Image:
    """Return a frame as the script sends it: a small JPEG without EXIF."""
    try:
        picture = Image.open(BytesIO(jpeg), formats=("JPEG",))
        if max(picture.size) > MAX_FRAME_SIDE_PX:
            raise ValueError(f"A frame has at most {MAX_FRAME_SIDE_PX} pixels a side.")
        picture.thumbnail((FRAME_SIDE_PX, FRAME_SIDE_PX))
        return picture.convert("RGB")
    except DECODE_ERRORS as error:
        raise ValueError("The frame is no JPEG that can be read.") from error


def _face(reading: Reading) -> dict[str, Any]:
    shown = reading.shown
    return {
        "track": reading.track,
        "box": shown.box_xyxy,
        "label": shown.label,
        "confidence": shown.confidence,
        "unsure": shown.unsure,
        "probabilities": shown.probabilities,
        "tag": "unsure" if shown.unsure else words.verdict(shown),
        "looks": words.looks(shown),
    }


def _minutes(place: int) -> int:
    """Return for how many minutes who is at this place waits at most, all sessions at full."""
    return math.ceil(math.ceil(place / MAX_LIVE) * SESSION_SECONDS / 60)
