"""Paired, interleaved timing: plain, observed, observed, plain, ... so that drift of the machine hits both alike."""

import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from benchmarks.cost.observers import Observer


@dataclass(frozen=True)
class Pair:
    """Seconds of one plain step and of one observed step next to it."""

    plain_wall: float
    plain_cpu: float
    wall: float
    cpu: float


def paired(plain: Observer, observer: Observer, *, repeats: int) -> list[Pair]:
    """Time ``repeats`` neighbouring pairs after two warm-ups of each, in ABBA order."""
    for _ in range(2):
        _time(plain)
        _time(observer)
    pairs = []
    for index in range(repeats):
        if index % 2 == 0:
            first, second = _time(plain), _time(observer)
        else:
            second, first = _time(observer), _time(plain)
        pairs.append(Pair(*first, *second))
    return pairs


def summary(pairs: list[Pair]) -> dict[str, Any]:
    """Ratios of the observed step to the plain one, three ways, on wall and on processor time."""
    return {
        "repeats": len(pairs),
        "plain_seconds": _median(pair.plain_wall for pair in pairs),
        "observed_seconds": _median(pair.wall for pair in pairs),
        "wall_ratio": _median(pair.wall for pair in pairs) / _median(pair.plain_wall for pair in pairs),
        "wall_ratio_of_pairs": _median(pair.wall / pair.plain_wall for pair in pairs),
        "wall_ratio_of_minima": min(pair.wall for pair in pairs) / min(pair.plain_wall for pair in pairs),
        "cpu_ratio_of_pairs": _median(pair.cpu / pair.plain_cpu for pair in pairs),
        "cpu_ratio": _median(pair.cpu for pair in pairs) / _median(pair.plain_cpu for pair in pairs),
        "cpu_ratio_of_minima": min(pair.cpu for pair in pairs) / min(pair.plain_cpu for pair in pairs),
        "pairs": [[round(value, 6) for value in (pair.plain_wall, pair.wall)] for pair in pairs],
    }


def _time(observer: Observer) -> tuple[float, float]:
    """Wall and processor seconds of one call; garbage of the call before is collected outside the clock."""
    with observer.ready():
        gc.collect()
        return _clock(observer.observe)


def _clock(call: Callable[[], Any]) -> tuple[float, float]:
    wall, cpu = time.perf_counter(), time.process_time()
    result = call()  # held until the clock stops: freeing a Trace is not part of making it
    seconds = time.perf_counter() - wall, time.process_time() - cpu
    del result
    return seconds


def _median(values: Any) -> float:
    return float(statistics.median(values))
