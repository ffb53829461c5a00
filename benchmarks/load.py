"""Many visitors at once on one page: errors, wrong predictions, memory and waiting times.

    python benchmarks/load.py
    python benchmarks/load.py --visitors 80        # more than the queue holds: some are sent away

Starts `python app.py`, asks it every picture once while it is quiet, then lets 50 visitors ask one
picture after the other without a pause, until two minutes are over and there are 1,000 responses
after the warm-up. Every response is compared with the quiet one. The visitors take the three HTTP
steps of docs/api.md (upload, ask, read the event stream). The exit status is 1 if a goal is missed.

Faces of several visitors are not classified in one batch. It would save a tenth of a response's
time: a face takes 17 ms alone and 8 in a batch of eight (throughput.py), a response 112 where many
ask (load.md). Every visitor would wait for the slowest picture of the batch.
"""

import asyncio
import itertools
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import crowds
import httpx
import numpy as np
import report
from serving import BusyError, RefusedError, Server, ask, connect, serve

from emotion_detective.evaluation.plots import table

EXAMPLES = report.ROOT / "examples"
MAX_GROWTH_MB = 100
COME_AGAIN_S = 1.0
PERCENTILES = (50, 90, 95, 99, 100)
# What a visitor may get besides a prediction.
FAILURES = (httpx.HTTPError, RefusedError, OSError, ValueError)


@dataclass
class Load:
    """A load of `visitors` for at least `seconds` and `requests`, and what came of it.

    Memory after the first `warm_up` responses under load is compared with that after the last.
    """

    visitors: int = 50
    seconds: float = 120
    requests: int = 1000
    warm_up: int = 100
    times_s: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    wrong: int = 0

    def is_over(self, begin: float) -> bool:
        """Return whether it has lasted long enough since `begin` and has enough responses."""
        tried = len(self.times_s) + self.errors.total()
        enough = tried >= self.warm_up + self.requests
        return enough and time.perf_counter() - begin >= self.seconds


def write_pictures(folder: Path) -> list[Path]:
    """Return the pictures that visitors send: the page's examples, and a crowd at webcam size."""
    folder.mkdir(parents=True)
    crowds.crowd((640, 480), 5).save(folder / "crowd.jpg", quality=crowds.JPEG_QUALITY)
    for path in EXAMPLES.glob("*.jpg"):
        shutil.copy(path, folder)
    return sorted(folder.iterdir())


def measure(load: Load, model: Path | str, folder: Path) -> dict:
    """Return the results of one server under load; its uploads and log go to `folder`."""
    pictures = write_pictures(folder / "pictures")
    with serve(model, folder) as server:
        found = asyncio.run(visit(load, server, pictures))
        return found | {"tracebacks": server.log.read_text().count("Traceback")}


async def visit(load: Load, server: Server, pictures: list[Path]) -> dict:
    """Ask every picture of the quiet server, then let the visitors in."""
    async with connect(server.url) as http:
        await ask(http, pictures[0])  # the first one of a process is slow; start_up.py has it
        quiet = {path: await _timed(http, path) for path in pictures}
        expected = {path: response for path, (response, _) in quiet.items()}
        quiet_mb, cpu_s, own_cpu_s = server.rss_mb(), server.cpu_s(), time.process_time()
        begin = time.perf_counter()
        visits = (_visit(load, http, i, server, expected) for i in range(load.visitors))
        await asyncio.gather(*visits)
        wall_s = time.perf_counter() - begin
    answers = len(load.times_s)
    warm, end = load.rss_mb[min(load.warm_up, answers - 1)], load.rss_mb[-1]
    return {
        "plan": {"visitors": load.visitors, "requests": load.requests, "warm_up": load.warm_up},
        "pictures": [path.name for path in pictures],
        "quiet_s": [seconds for _, seconds in quiet.values()],
        "answers": answers,
        "answers_a_second": answers / wall_s,
        "percentiles_s": {f"p{p}": float(np.percentile(load.times_s, p)) for p in PERCENTILES},
        "busy": load.busy,
        "errors": dict(load.errors),
        "wrong": load.wrong,
        "rss_mb": {"quiet": quiet_mb, "warm": warm, "end": end},
        "growth_mb": end - warm,
        "cpu_s": {
            "server": server.cpu_s() - cpu_s,
            "visitors": time.process_time() - own_cpu_s,
        },
    }


async def _timed(http: httpx.AsyncClient, path: Path) -> tuple[dict, float]:
    start = time.perf_counter()
    return await ask(http, path), time.perf_counter() - start


async def _visit(
    load: Load, http: httpx.AsyncClient, first: int, server: Server, expected: dict[Path, dict]
) -> None:
    """Ask one picture after the other, each visitor beginning with another one."""
    begin, paths = time.perf_counter(), list(expected)
    for path in itertools.chain(paths[first % len(paths) :], itertools.cycle(paths)):
        if load.is_over(begin):
            return
        try:
            response, seconds = await _timed(http, path)
        except BusyError:
            load.busy += 1
            await asyncio.sleep(COME_AGAIN_S)
        except FAILURES as error:
            load.errors[f"{type(error).__name__}: {error}"] += 1
        else:
            load.times_s.append(seconds)
            load.rss_mb.append(server.rss_mb())
            load.wrong += response != expected[path]


def goals(result: dict) -> list[tuple[str, str, bool]]:
    """Return what was to be reached, what was, and whether."""
    errors = "; ".join(f"{count} x {error}" for error, count in result["errors"].items())
    enough = result["answers"] >= result["plan"]["warm_up"] + result["plan"]["requests"]
    return [
        (
            'no error but the queue\'s "busy"',
            f"{errors or 'none'}; {result['tracebacks']} tracebacks in the log; busy "
            f"{result['busy']} times",
            not result["errors"] and not result["tracebacks"],
        ),
        (
            "the responses of a quiet server",
            f"{result['wrong']} of {result['answers']} differ",
            result["wrong"] == 0,
        ),
        (
            f"memory grows less than {MAX_GROWTH_MB} MB over {result['plan']['requests']} requests",
            f"{result['growth_mb']:+.0f} MB over {result['answers'] - result['plan']['warm_up']}, "
            f"from {result['rss_mb']['warm']:.0f} ({result['rss_mb']['quiet']:.0f} when quiet)",
            enough and result["growth_mb"] < MAX_GROWTH_MB,
        ),
    ]


def markdown(result: dict) -> Iterator[str]:
    cpu = result["cpu_s"]
    yield from report.opening("Many visitors at once", result)
    yield (
        f"{result['plan']['visitors']} visitors without a pause: {result['answers']:,} responses, "
        f"{result['answers_a_second']:.1f} a second. Alone, one takes "
        f"{min(result['quiet_s']):.2f} to {max(result['quiet_s']):.2f} s. The server took "
        f"{cpu['server']:.0f} s of CPU time, the visitors {cpu['visitors']:.0f}."
    )
    yield ""
    percentiles = result["percentiles_s"]
    yield table(
        [f"seconds to the response, {name}" for name in percentiles],
        [[f"{seconds:.2f}" for seconds in percentiles.values()]],
    )
    yield ""
    yield report.goals(result["goals"])


def main() -> None:
    """Run the load and write the results; exit with 1 if a goal is missed."""
    parser = report.parser(__file__, __doc__, "model")
    parser.add_argument("--visitors", type=int, default=Load.visitors)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(Load(arguments.visitors), arguments.model, Path(folder))
    pictures = f"{len(measured['pictures'])} pictures"
    result = report.origin(pictures, packages=("gradio", "httpx")) | measured
    result["goals"] = goals(result)
    report.write(arguments.output, result, markdown(result))
    sys.exit(not all(reached for _, _, reached in result["goals"]))


if __name__ == "__main__":
    main()
