"""A Hugging Face Hub on 127.0.0.1, for tests with the genuine clients.

It speaks the part of the HTTP API that push, pull, tags and Space variables need, for models,
datasets and Spaces (`hub_routes.py`), and misbehaves on demand (`hub.fail`). `HF_ENDPOINT` is read
when huggingface_hub is imported, so a subprocess takes `env=hub.env(home)`, and a test that calls
our code in its own process takes the fixture `hub_here`. A test module that wants the fixtures says
`pytest_plugins = ["hub_server"]`.
"""

import asyncio
import os
import re
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import uvicorn
from hub_routes import WRITE_TOKEN, build_app
from hub_store import Store
from huggingface_hub import constants
from starlette.applications import Starlette

# Nothing listens on the discard port of a test machine: connections are refused at once.
NOWHERE = "http://127.0.0.1:9"


@dataclass
class Hub:
    """A running Hub: tests read `store` and `requests`, and set faults with `fail`."""

    url: str
    store: Store
    requests: list[str] = field(default_factory=list)
    faults: list[tuple[str, str, float]] = field(default_factory=list)

    def env(self, home: Path, token: str | None = WRITE_TOKEN, up: bool = True) -> dict[str, str]:
        """Return the environment of a subprocess that knows only this Hub and caches in `home`.

        Unless `up`, it finds no Hub at all.
        """
        inherited = {k: v for k, v in os.environ.items() if not k.startswith(("HF_", "HUGGING"))}
        return inherited | {
            "HF_ENDPOINT": self.url if up else NOWHERE,
            "HF_HOME": str(home),
            "HF_TOKEN": token or "",
            "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
        }

    def fail(self, path: str, how: str = "error", seconds: float = 0.0) -> None:
        """Let the next request whose "METHOD path" the regex matches go wrong.

        `how`: "error" answers 500; "cut" drops the connection in the middle of the answer, with
        nothing done; "slow" answers after `seconds`.
        """
        self.faults.append((path, how, seconds))


class Faulty:
    """ASGI middleware: notes each request and lets it go wrong where `hub.fail` says so."""

    def __init__(self, app: Starlette, hub: Hub) -> None:
        self.app, self.hub = app, hub

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        line = f"{scope['method']} {scope['path']}"
        self.hub.requests.append(line)
        fault = next((fault for fault in self.hub.faults if re.search(fault[0], line)), None)
        if fault is None:
            return await self.app(scope, receive, send)
        self.hub.faults.remove(fault)
        _, how, seconds = fault
        if how == "slow":
            await asyncio.sleep(seconds)
            return await self.app(scope, receive, send)
        # A body shorter than announced makes uvicorn drop the connection.
        length, status = ("1000", 200) if how == "cut" else ("0", 500)
        headers = [(b"content-length", length.encode())]
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


@contextmanager
def serve(folder: Path) -> Iterator[Hub]:
    """Run a Hub in a thread, with its files in `folder`, until the block ends."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        hub = Hub(url, Store(url, folder))
        app = Faulty(build_app(hub.store), hub)
        config = uvicorn.Config(
            app, log_level="critical", lifespan="off", timeout_graceful_shutdown=1
        )
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        yield hub
        server.should_exit = True
        thread.join()


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Hub]:
    """An empty Hub, for clients in subprocesses: `env=hub.env(tmp_path / "home")`."""
    (tmp_path / "hub").mkdir()
    with serve(tmp_path / "hub") as running:
        yield running


@pytest.fixture
def hub_here(hub: Hub, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Hub:
    """The same for this process's huggingface_hub, with WRITE_TOKEN and a new cache."""
    point_to(hub.url, monkeypatch)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_DISABLE_XET", True)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "token"))
    monkeypatch.setenv("HF_TOKEN", WRITE_TOKEN)
    return hub


@pytest.fixture
def unplug(hub_here: Hub, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function after whose call this process cannot reach the Hub any more."""

    def unplug() -> None:
        point_to(NOWHERE, monkeypatch)
        # huggingface_hub tries a first download six times over 23 seconds.
        monkeypatch.setattr("huggingface_hub.utils._http.time.sleep", lambda seconds: None)

    return unplug


def point_to(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let this process's huggingface_hub talk to the Hub at `url`."""
    monkeypatch.setattr(constants, "ENDPOINT", url)
    template = url + "/{repo_id}/resolve/{revision}/{filename}"
    monkeypatch.setattr(constants, "HUGGINGFACE_CO_URL_TEMPLATE", template)
