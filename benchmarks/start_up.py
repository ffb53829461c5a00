"""From the command to the first answer in a new process: seconds and memory.

    python benchmarks/start_up.py

"Page" is `python app.py` until it serves its page, and until it has answered a picture over HTTP.
"Library" is a Python that imports the package, loads the checkpoint and answers the same picture.
Linux only: peaks of memory are read from /proc.
"""

import asyncio
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import report
from serving import ask, connect, serve

from emotion_detective.evaluation.plots import table

PICTURE = report.ROOT / "examples" / "one_face.jpg"
ROUNDS = 3
# The goals for the page, on two cores.
MAX_SECONDS, MAX_MB = 6, 1400
LIBRARY = """
import sys
from emotion_detective.core.detective import EmotionDetective
print("ready", flush=True)
EmotionDetective.from_pretrained(sys.argv[1]).analyze(sys.argv[2])
print("answered", flush=True)
sys.stdin.read()  # alive until its memory was read
"""


def page(model: Path | str) -> dict[str, float]:
    """Return the seconds until the page is served and until its first answer, and its peak."""
    with tempfile.TemporaryDirectory() as folder, serve(model, Path(folder)) as server:
        served_s = time.perf_counter() - server.begun_at
        asyncio.run(_ask(server.url))
        answered_s = time.perf_counter() - server.begun_at
        peak_mb = read_peak_mb(server.process.pid)
    return {"ready_s": served_s, "answered_s": answered_s, "peak_mb": peak_mb}


async def _ask(url: str) -> None:
    async with connect(url) as http:
        await ask(http, PICTURE)


def library(model: Path | str) -> dict[str, float]:
    """Return the seconds until the package is imported and until its first answer, and its peak."""
    begin = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-c", LIBRARY, str(model), str(PICTURE)],
        cwd=report.ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        times = {
            f"{process.stdout.readline().strip()}_s": time.perf_counter() - begin for _ in range(2)
        }
        return times | {"peak_mb": read_peak_mb(process.pid)}


def read_peak_mb(pid: int) -> float:
    """Return the largest memory that a running process has held, in MB.

    `resource` counts for a child the memory of its parent when it was made.
    """
    status = Path(f"/proc/{pid}/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) * 1024 / 1e6


def measure(model: Path | str, rounds: int) -> dict:
    """Return the medians of `rounds` starts of page and library, in turn."""
    starts = [{"page": page(model), "library": library(model)} for _ in range(rounds)]
    return {"rounds": rounds} | {
        kind: {name: median(start[kind][name] for start in starts) for name in starts[0][kind]}
        for kind in ("page", "library")
    }


def goals(result: dict) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether."""
    answered_s, peak_mb = result["page"]["answered_s"], result["page"]["peak_mb"]
    return [
        (f"first answer within {MAX_SECONDS} s", f"{answered_s:.1f} s", answered_s < MAX_SECONDS),
        (f"less than {MAX_MB} MB", f"{peak_mb:.0f} MB", peak_mb < MAX_MB),
    ]


def markdown(result: dict) -> Iterator[str]:
    yield from report.opening("Start", result)
    yield (
        f"Medians of {result['rounds']} starts, with the files in the system's cache, as after any "
        "start but the first:"
    )
    yield ""
    rows = [[kind, *_cells(**result[kind])] for kind in ("page", "library")]
    yield table(["", "ready", "first answer", "memory at most"], rows)
    yield ""
    yield report.goals(result["goals"])


def _cells(ready_s: float, answered_s: float, peak_mb: float) -> list[str]:
    return [f"{ready_s:.1f} s", f"{answered_s:.1f} s", f"{peak_mb:.0f} MB"]


def main() -> None:
    parser = report.parser(__file__, __doc__, "model")
    parser.add_argument("--rounds", type=int, default=ROUNDS, help="starts of each")
    arguments = parser.parse_args()
    result = report.origin(PICTURE.name, packages=("gradio",))
    result |= measure(arguments.model, arguments.rounds)
    result["goals"] = goals(result)
    report.write(arguments.output, result, markdown(result))


if __name__ == "__main__":
    main()
