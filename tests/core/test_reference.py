"""The record survives JSON."""

from stepzero.core.reference import NO_REFERENCE, ReferenceFact, Replaced
from stepzero.core.trace import Trace


def test_round_trip():
    fact = ReferenceFact(ran=True, compared=3, replaced=(Replaced("a", 6, 2, 0.5),), skipped=(("b", "why"),))
    trace = Trace("model", reference=fact)
    assert Trace.from_json(trace.to_json()).reference == fact
    assert Trace.from_json(Trace("model").to_json()).reference == NO_REFERENCE
