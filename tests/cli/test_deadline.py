"""--timeout."""

import signal
import threading
import time

import pytest

from stepzero.cli import deadline as module
from stepzero.cli.deadline import OutOfTime, deadline


def never():
    raise AssertionError("the hard stop was not needed")


def test_time_that_is_up_raises():
    with pytest.raises(OutOfTime), deadline(0.05, never):
        time.sleep(5)


def test_except_exception_does_not_catch_it():
    def stubborn():
        try:
            time.sleep(5)
        except Exception:  # noqa: BLE001 - what careless user code does
            pytest.fail("caught")

    with pytest.raises(OutOfTime), deadline(0.05, never):
        stubborn()


def test_time_that_suffices_leaves_no_alarm_behind():
    before = signal.getsignal(signal.SIGALRM)
    with deadline(0.05, never):
        pass
    time.sleep(0.1)
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_without_a_limit_there_is_no_thread():
    before = threading.active_count()
    with deadline(None, never):
        assert threading.active_count() == before


def test_the_hard_stop_comes_when_the_exception_cannot(monkeypatch):
    monkeypatch.setattr(module, "GRACE", 0.05)
    stopped = threading.Event()

    def deaf():
        signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGALRM])
        stopped.wait(5)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGALRM])
        time.sleep(1)

    with pytest.raises(OutOfTime), deadline(0.05, stopped.set):
        deaf()
    assert stopped.is_set()


def test_away_from_the_main_thread_only_the_hard_stop_remains():
    stopped = threading.Event()

    def work():
        with deadline(0.05, stopped.set):
            stopped.wait(5)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert stopped.is_set()
