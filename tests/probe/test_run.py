"""A pass that has just begun has seen nothing."""

from torch import nn

from stepzero.probe.recorder import Recorder
from stepzero.probe.restore import Guard
from stepzero.probe.run import Run
from stepzero.probe.sampler import Sampler
from stepzero.probe.transfer import Ledger


def test_a_fresh_run_is_empty() -> None:
    run = Run(Recorder(nn.Linear(2, 2), Guard(), Sampler(Ledger())))
    assert (run.outputs, run.loss.origin, run.loss_index, run.gradients, run.conditions) == ([], "none", None, {}, [])
    assert not run.has_backward
