"""The write record is data: frozen, and carried by the Trace through JSON."""

import dataclasses

import pytest

from stepzero.core.provenance import NO_POISON, NOT_WATCHED, ParameterWrites, PoisonFact, Write, WriteRecord
from stepzero.core.trace import Trace


def test_a_trace_carries_it_through_json():
    write = Write("values", "Net.__init__", "net.py:3", is_whole=False)
    record = WriteRecord(ran=True, parameters=(ParameterWrites("fc.bias", (write,)),))
    trace = Trace("m", writes=record, poison=PoisonFact(ran=True, unrepeatable=("fc.weight",)))
    assert Trace.from_json(trace.to_json()) == trace
    with pytest.raises(dataclasses.FrozenInstanceError):
        write.kind = "draw"


def test_what_was_not_asked_for_says_so():
    assert (NOT_WATCHED.ran, NO_POISON.ran) == (False, False)
    assert NO_POISON.reason == "not requested"
