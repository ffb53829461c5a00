"""Visitors of a running page for load.py: what they send and ask, and how they read the answer.

There are two kinds. `plain_visitor` takes the three HTTP steps of docs/api.md (upload, ask, read
the event stream), `client_visitor` uses a real `gradio_client`. Fifty clients are some hundred
threads of one Python process, which would take the two cores from the measured server: a few are
enough, and the rest of the crowd is plain.
"""

import asyncio
import json
import math
import shutil
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path

import crowds
import httpx
import report
from gradio_client import Client, handle_file
from gradio_client.utils import QueueError

EXAMPLES = report.ROOT / "examples"
Ask = Callable[[Path], Awaitable[dict]]
# The longest time in the queue of a busy page.
TIMEOUT_S = 180
PREDICT = "/gradio_api/call/predict"
QUEUE_FULL = "Queue is full"  # how Gradio's message begins; it comes with status 503


class BusyError(Exception):
    """The page's queue is full: come again later."""


class RefusedError(Exception):
    """The page's words where it answers without a prediction."""


def write_pictures(folder: Path) -> list[Path]:
    """Return the pictures that visitors send: the page's examples, and a crowd at webcam size."""
    folder.mkdir(parents=True)
    crowds.crowd((640, 480), 5).save(folder / "crowd.jpg", quality=crowds.JPEG_QUALITY)
    for path in EXAMPLES.glob("*.jpg"):
        shutil.copy(path, folder)
    return sorted(folder.iterdir())


def plain_visitor(http: httpx.AsyncClient) -> Ask:
    """Return a function that sends a picture file and waits for its answer."""

    async def ask(path: Path) -> dict:
        sent = await http.post(
            "/gradio_api/upload", files={"files": (path.name, path.read_bytes())}
        )
        sent.raise_for_status()
        upload = {"path": sent.json()[0], "meta": {"_type": "gradio.FileData"}}
        joined = await http.post(PREDICT, json={"data": [upload, False]})
        if joined.status_code == httpx.codes.SERVICE_UNAVAILABLE and QUEUE_FULL in joined.text:
            raise BusyError
        joined.raise_for_status()
        stream = await http.get(f"{PREDICT}/{joined.json()['event_id']}")
        stream.raise_for_status()
        return read_event(stream.text)

    return ask


def read_event(stream: str) -> dict:
    """Return the prediction that ends an event stream.

    Raises:
        RefusedError: it ends with anything else.
    """
    event, _, data = stream.strip().rpartition("\n\n")[-1].partition("\n")
    if event != "event: complete":
        raise RefusedError(f"{event}: {data}")
    return json.loads(data.removeprefix("data: "))[0]


def client_visitor(url: str, threads: Executor) -> Ask:
    """Return a function that asks with a `gradio_client` of its own, in one of `threads`."""
    client = Client(url, verbose=False, httpx_kwargs={"timeout": TIMEOUT_S})

    def predict(path: Path) -> dict:
        try:
            return client.predict(handle_file(path), api_name="/predict")
        except QueueError as error:
            raise BusyError from error

    async def ask(path: Path) -> dict:
        return await asyncio.get_running_loop().run_in_executor(threads, predict, path)

    return ask


def difference(answer: dict, expected: dict) -> float:
    """Return the largest difference of any number in two answers, infinite if words differ."""
    if _words(answer) != _words(expected):
        return math.inf
    return max(
        (abs(a - b) for a, b in zip(_numbers(answer), _numbers(expected), strict=True)),
        default=0.0,
    )


def _words(answer: dict) -> tuple:
    faces = [(face["label"], face["unsure"]) for face in answer["faces"]]
    return answer["model"], answer["message"], faces


def _numbers(answer: dict) -> list[float]:
    return [
        number
        for face in answer["faces"]
        for number in (*face["box"], face["detection"], *face["probabilities"].values())
    ]
