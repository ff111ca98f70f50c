"""Facts about memory: a Trace holds them, and they come back from JSON."""

from stepzero.core.memory import LostWrite, PoisonFact, Unwritten
from stepzero.core.trace import Trace


def test_they_survive_json():
    fact = PoisonFact(ran=True, unwritten=(Unwritten("w", "parameter", 4, 2),))
    trace = Trace("net", poison=fact, lost_writes=(LostWrite("conv.weight", ("conv.g", "conv.v"), 1),))
    assert Trace.from_json(trace.to_json()) == trace
