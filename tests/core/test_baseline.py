"""A baseline as a noun."""

from stepzero.core.baseline import FACTOR, Baseline, Entry


def test_the_defaults():
    assert Baseline() == Baseline((), FACTOR, "baseline", 1)
    assert FACTOR > 1
    assert Entry("SZ305", "fc", "error").value is None
