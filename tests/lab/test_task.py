from stepzero.lab.task import LOSSES
from tests.lab.fleets import PROGRAMS, samples


def test_every_loss_has_targets_of_its_kind():
    built = PROGRAMS["plain"]("tanh")
    shapes = {loss: samples(built, loss=loss).targets.shape for loss in LOSSES}
    assert shapes == {"cross_entropy": (21,), "mse": (21, 3)}
