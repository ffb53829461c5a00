"""Times of calls: medians over alternating rounds.

The compared calls take turns, so that a machine that slows down slows all of them; the median
leaves its hiccups out.
"""

import time
from collections.abc import Callable, Mapping
from statistics import median


def seconds(call: Callable[[], object]) -> float:
    """Return the seconds that a call takes."""
    start = time.perf_counter()
    call()
    return time.perf_counter() - start


def medians(calls: Mapping[str, Callable[[], object]], rounds: int) -> dict[str, float]:
    """Return the median seconds of each call over `rounds`, after a warm-up round."""
    times = [{name: seconds(call) for name, call in calls.items()} for _ in range(rounds + 1)]
    return {name: median(row[name] for row in times[1:]) for name in calls}
