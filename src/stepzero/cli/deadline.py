"""``--timeout``: an exception when the time is up, and a hard stop when the interpreter does not get to raise it."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from types import FrameType

GRACE = 5.0
"""Seconds between the exception and the hard stop: one long call into C++ holds the exception back."""


class OutOfTime(BaseException):
    """The time is up. Not an `Exception`, so that ``except Exception`` in the target lets it through."""


@contextlib.contextmanager
def deadline(seconds: float | None, hard_stop: Callable[[], None]) -> Iterator[None]:
    """Raise `OutOfTime` in the block after ``seconds``; call ``hard_stop`` from a thread when that has no effect."""
    if seconds is None:
        yield
        return
    can_raise = hasattr(signal, "SIGALRM") and threading.current_thread() is threading.main_thread()
    watchdog = threading.Timer(seconds + (GRACE if can_raise else 0.0), hard_stop)
    watchdog.daemon = True
    watchdog.start()
    try:
        with _alarm(seconds) if can_raise else contextlib.nullcontext():
            yield
    finally:
        watchdog.cancel()


@contextlib.contextmanager
def _alarm(seconds: float) -> Iterator[None]:
    def ring(_signal: int, _frame: FrameType | None) -> None:
        raise OutOfTime

    before = signal.signal(signal.SIGALRM, ring)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
