"""The real app in a process of its own, and what the tests in front of it share."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import serving
from gradio_client import Client
from small import ROOT

TIMEOUT_MS = 90_000
# A name of this machine for which a browser demands https before it gives a camera.
WITHOUT_HTTPS = "page.test"
# What moved on a page by itself: not within half a second of what the visitor did.
SHIFTS = """
shift = 0;
new PerformanceObserver((list) => {
  for (const entry of list.getEntries()) if (!entry.hadRecentInput) shift += entry.value;
}).observe({ type: "layout-shift", buffered: true });
"""
# All that moved, right after what the visitor did too.
ALL_SHIFTS = SHIFTS.replace("if (!entry.hadRecentInput) ", "")
MAX_SHIFT = 0.02


def connected(url: str, **options) -> Client:
    """Return a gradio_client that waits for as long as the browser does, not for 5 seconds."""
    timeout = {"timeout": TIMEOUT_MS / 1000}
    return Client(url, verbose=False, httpx_kwargs=timeout, **options)


@contextmanager
def running_app(
    folder: Path, model: Path, before: str = "", terminate: bool = False
) -> Iterator[str]:
    """Run app.py with its uploads under `folder`; yield its address. `before` is Python to run."""
    code = f"{before}\nimport runpy; runpy.run_path('app.py', run_name='__main__')"
    command, environment = [sys.executable, "-c", code], serving.describe_environment(model, folder)
    log = folder / "server.log"
    with serving.start(command, ROOT, environment, log, terminate) as server:
        yield server.url
