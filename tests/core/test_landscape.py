import pytest
from torch import nn

from stepzero import api
from stepzero.core.landscape import NO_KERNEL, NO_SHARPNESS, NO_STEP
from stepzero.core.trace import Trace
from tests.probe.observing import seeded


@pytest.mark.parametrize("fact", [NO_KERNEL, NO_SHARPNESS, NO_STEP])
def test_not_asked_for_nothing_ran(fact):
    assert not fact.ran


def test_records_survive_the_trace_as_json():
    trace = api.trace(nn.Linear(4, 1), seeded(16, 4), "mse", seeded(16, 1), probes=["kernel", "isolate", "first_step"])
    assert trace.kernel.ran
    assert Trace.from_json(trace.to_json()) == trace
