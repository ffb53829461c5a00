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

import httpx
import report
from serving import serve
from visitors import TIMEOUT_S, plain_visitor

from emotion_detective.evaluation.plots import table

PICTURE = report.ROOT / "examples" / "one_face.jpg"
ROUNDS = 3
# The goals for the page, on two cores.
MAX_SECONDS, MAX_MB = 6, 1400
LIBRARY = """
import sys
from emotion_detective.core.detective import EmotionDetective
print("imported", flush=True)
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
    return {"served_s": served_s, "answered_s": answered_s, "peak_mb": peak_mb}


async def _ask(url: str) -> None:
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, trust_env=False) as http:
        await plain_visitor(http)(PICTURE)


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
            f"{line.strip()}_s": time.perf_counter() - begin
            for line in (process.stdout.readline() for _ in range(2))
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
    starts = [(page(model), library(model)) for _ in range(rounds)]
    return {
        "rounds": rounds,
        "page": _median_of([of_page for of_page, _ in starts]),
        "library": _median_of([of_library for _, of_library in starts]),
    }


def _median_of(rows: list[dict[str, float]]) -> dict[str, float]:
    return {name: median(row[name] for row in rows) for name in rows[0]}


def goals(result: dict) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether."""
    answered_s, peak_mb = result["page"]["answered_s"], result["page"]["peak_mb"]
    return [
        (f"first answer within {MAX_SECONDS} s", f"{answered_s:.1f} s", answered_s < MAX_SECONDS),
        (f"less than {MAX_MB} MB", f"{peak_mb:.0f} MB", peak_mb < MAX_MB),
    ]


def markdown(result: dict) -> Iterator[str]:
    of_page, of_library = result["page"], result["library"]
    yield from report.opening("Start", result)
    yield (
        f"Medians of {result['rounds']} starts, with the files in the system's cache, as after any "
        "start but the first:"
    )
    yield ""
    yield table(
        ["", "ready", "first answer", "memory at most"],
        [
            ["page", *_cells(of_page["served_s"], of_page)],
            ["library", *_cells(of_library["imported_s"], of_library)],
        ],
    )
    yield ""
    yield report.goals(result["goals"])


def _cells(ready_s: float, row: dict[str, float]) -> list[str]:
    return [f"{ready_s:.1f} s", f"{row['answered_s']:.1f} s", f"{row['peak_mb']:.0f} MB"]


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
