"""What a stretch of code costs: processor seconds, forward passes of a model, and the memory it added at its peak."""

import contextlib
import functools
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import nn

STATUS, CLEAR = Path("/proc/self/status"), Path("/proc/self/clear_refs")
FORGET_PEAK = "5"


@dataclass
class Cost:
    """What one stretch cost; all of it is this process alone."""

    seconds: float = 0.0
    """Processor time: the machine may be busy with something else."""
    passes: int = 0
    """Forward passes of the model and of copies of it."""
    mib: float = 0.0
    """Peak resident memory above that at the start; 0 where the system does not tell."""


@contextlib.contextmanager
def metered(model: nn.Module) -> Iterator[Cost]:
    """Measure what happens inside."""
    cost = Cost()
    with _counted(type(model), cost):
        before = _peak(forget=True)
        start = time.process_time()
        try:
            yield cost
        finally:
            cost.seconds = time.process_time() - start
            cost.mib = _peak(forget=False) - before


@contextlib.contextmanager
def _counted(kind: type[nn.Module], cost: Cost) -> Iterator[None]:
    """Count calls of ``kind.forward`` that are not inside another one."""
    original = vars(kind).get("forward")
    inherited, depth = kind.forward, [0]

    @functools.wraps(inherited)
    def counting(*args: Any, **kwargs: Any) -> Any:
        cost.passes += depth[0] == 0
        depth[0] += 1
        try:
            return inherited(*args, **kwargs)
        finally:
            depth[0] -= 1

    kind.forward = counting  # type: ignore[method-assign]
    try:
        yield
    finally:
        if original is None:
            del kind.forward
        else:
            kind.forward = original  # type: ignore[method-assign]


def _peak(*, forget: bool) -> float:
    """Peak resident memory in MiB since it was last forgotten; what is resident now when it is forgotten here."""
    try:
        if forget:
            CLEAR.write_text(FORGET_PEAK)
        line = next(line for line in STATUS.read_text().splitlines() if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        return 0.0
    return int(line.split()[1]) / 1024
