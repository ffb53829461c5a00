"""Many visitors at once on one page: errors, wrong answers, memory and waiting times.

    python benchmarks/load.py
    python benchmarks/load.py --visitors 80        # more than the queue holds: some are told so

Starts `python app.py`, asks it every picture once while it is quiet, then lets 50 visitors
(visitors.py) ask one picture after the other without a pause, until two minutes are over and there
are 1,000 answers after the warm-up. Every answer is compared with the quiet one. The exit status is
1 if a goal is missed.

Faces of several visitors are not classified in one batch. It would save a tenth of an answer's
time: a face takes 17 ms alone and 8 in a batch of eight (throughput.py), an answer 112 where many
ask (load.md). Every visitor would wait for the slowest picture of the batch.
"""

import asyncio
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path

import httpx
import numpy as np
import report
from gradio_client.exceptions import AppError
from serving import Server, serve
from visitors import (
    TIMEOUT_S,
    Ask,
    BusyError,
    RefusedError,
    client_visitor,
    difference,
    plain_visitor,
    write_pictures,
)

from emotion_detective.evaluation.plots import table

# Probabilities and pixels; the order of sums in several threads changes them by less.
SAME_WITHIN = 1e-3
MAX_GROWTH_MB = 100
COME_AGAIN_S = 1.0
PERCENTILES = (50, 90, 95, 99, 100)
# What a visitor may get besides an answer.
FAILURES = (httpx.HTTPError, AppError, RefusedError, OSError, ValueError)


@dataclass(frozen=True)
class Plan:
    """Number and duration of the visits; `clients` of the `visitors` use gradio_client.

    Memory after the first `warm_up` answers under load is compared with that after the last.
    """

    visitors: int = 50
    clients: int = 4
    seconds: float = 120
    requests: int = 1000
    warm_up: int = 100


@dataclass
class Record:
    """Seconds of each answer, memory after each, and every error.

    `quiet_s` and `quiet_rss_mb` are the seconds of each picture alone and the memory after them,
    `cpu_s` is the processor time of server and visitors under load.
    """

    quiet_s: list[float]
    quiet_rss_mb: float
    wall_s: float = 0.0
    cpu_s: dict[str, float] = field(default_factory=dict)
    seconds: list[float] = field(default_factory=list)
    rss_mb: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)
    busy: int = 0
    wrong: int = 0
    largest_difference: float = 0.0


def measure(plan: Plan, model: Path | str, folder: Path) -> dict:
    """Return the results of one server under load; its uploads and log go to `folder`.

    Raises:
        RuntimeError: it gave too few answers.
    """
    pictures = write_pictures(folder / "pictures")
    with serve(model, folder) as server:
        record = asyncio.run(_load(plan, server, pictures))
        tracebacks = server.log.read_text().count("Traceback")
    answers = len(record.seconds)
    if answers <= plan.warm_up:
        raise RuntimeError(f"Only {answers} answers, and these errors: {dict(record.errors)}")
    warm, end = record.rss_mb[plan.warm_up], record.rss_mb[-1]
    return {
        "plan": asdict(plan),
        "pictures": [path.name for path in pictures],
        "quiet_s": record.quiet_s,
        "answers": answers,
        "answers_a_second": answers / record.wall_s,
        "percentiles_s": {f"p{p}": float(np.percentile(record.seconds, p)) for p in PERCENTILES},
        "busy": record.busy,
        "errors": dict(record.errors),
        "tracebacks": tracebacks,
        "wrong": record.wrong,
        "largest_difference": record.largest_difference,
        "rss_mb": {
            "quiet": record.quiet_rss_mb,
            "warm": warm,
            "end": end,
            "peak": max(record.rss_mb),
        },
        "growth_mb": end - warm,
        "cpu_s": record.cpu_s,
    }


async def _load(plan: Plan, server: Server, pictures: list[Path]) -> Record:
    """Ask every picture of the quiet server, then let the visitors in."""
    limits = httpx.Limits(max_connections=None)
    with ThreadPoolExecutor(max(plan.clients, 1)) as threads:
        async with httpx.AsyncClient(
            base_url=server.url, timeout=TIMEOUT_S, limits=limits, trust_env=False
        ) as http:
            plain = plain_visitor(http)
            await plain(pictures[0])  # the first answer of a process is slow; start_up.py has it
            quiet = [await _timed(plain, path) for path in pictures]
            expected = dict(zip(pictures, (answer for answer, _ in quiet), strict=True))
            record = Record([seconds for _, seconds in quiet], server.rss_mb())
            asks = [client_visitor(server.url, threads) for _ in range(plan.clients)]
            asks += [plain] * (plan.visitors - plan.clients)
            begin, cpu_s = time.perf_counter(), _cpu_s(server)
            await asyncio.gather(
                *(_visit(ask, i, plan, server, expected, record) for i, ask in enumerate(asks))
            )
            record.wall_s = time.perf_counter() - begin
            record.cpu_s = {who: used - cpu_s[who] for who, used in _cpu_s(server).items()}
    return record


def _cpu_s(server: Server) -> dict[str, float]:
    return {"server": server.cpu_s(), "visitors": time.process_time()}


async def _timed(ask: Ask, path: Path) -> tuple[dict, float]:
    start = time.perf_counter()
    return await ask(path), time.perf_counter() - start


async def _visit(
    ask: Ask, number: int, plan: Plan, server: Server, expected: dict[Path, dict], record: Record
) -> None:
    """Ask one picture after the other, each visitor beginning with another one."""
    begin, pictures, asked = time.perf_counter(), list(expected), number
    while (
        time.perf_counter() - begin < plan.seconds
        or len(record.seconds) + record.errors.total() < plan.warm_up + plan.requests
    ):
        path = pictures[asked % len(pictures)]
        asked += 1
        try:
            answer, seconds = await _timed(ask, path)
        except BusyError:
            record.busy += 1
            await asyncio.sleep(COME_AGAIN_S)
            continue
        except FAILURES as error:
            record.errors[f"{type(error).__name__}: {error}"] += 1
            continue
        record.seconds.append(seconds)
        record.rss_mb.append(server.rss_mb())
        apart = difference(answer, expected[path])
        record.wrong += apart > SAME_WITHIN
        record.largest_difference = max(record.largest_difference, apart)


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
            "the answers of a quiet server",
            f"{result['wrong']} of {result['answers']} differ; at most by "
            f"{result['largest_difference']:.1e}",
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
    plan, cpu = result["plan"], result["cpu_s"]
    yield from report.opening("Many visitors at once", result)
    yield (
        f"{plan['visitors']} visitors, {plan['clients']} of them with gradio_client, without a "
        f"pause: {result['answers']:,} answers, {result['answers_a_second']:.1f} a second. Alone, "
        f"an answer takes {min(result['quiet_s']):.2f} to {max(result['quiet_s']):.2f} s. The "
        f"server took {cpu['server']:.0f} s of processor time, the visitors {cpu['visitors']:.0f}."
    )
    yield ""
    percentiles = result["percentiles_s"]
    yield table(
        [f"seconds to the answer, {name}" for name in percentiles],
        [[f"{seconds:.2f}" for seconds in percentiles.values()]],
    )
    yield ""
    yield report.goals(result["goals"])


def main() -> None:
    """Run the load and write the results; exit with 1 if a goal is missed."""
    parser = report.parser(__file__, __doc__, "model")
    for name, default in asdict(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default)
    arguments = parser.parse_args()
    plan = Plan(**{name: getattr(arguments, name) for name in asdict(Plan())})
    with tempfile.TemporaryDirectory() as folder:
        measured = measure(plan, arguments.model, Path(folder))
    pictures = f"{len(measured['pictures'])} pictures"
    result = report.origin(pictures, packages=("gradio", "httpx")) | measured
    result["goals"] = goals(result)
    report.write(arguments.output, result, markdown(result))
    sys.exit(not all(reached for _, _, reached in result["goals"]))


if __name__ == "__main__":
    main()
