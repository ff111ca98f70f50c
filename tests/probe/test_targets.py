import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.probe.targets import within
from tests.probe.observing import seeded, traced

LOGITS = seeded(6, 3)


def loss_in(trace):
    return next(operation for operation in trace.operations if operation.kind == "loss")


def test_labels_outside_are_counted_and_ignored():
    labels = torch.tensor([0, 1, 2, 3, -1, -100])
    (args, _), count = within("cross_entropy", (LOGITS, labels), {})
    assert int(count) == 2
    assert args[1].tolist() == [0, 1, 2, -100, -100, -100]
    assert labels[3] == 3
    (_, kwargs), count = within("nll_loss", (LOGITS,), {"target": labels, "ignore_index": 3})
    assert (int(count), kwargs["target"].tolist()) == (2, [0, 1, 2, 3, 3, 3])


def test_other_losses_and_soft_targets_are_left_alone():
    call = (LOGITS, LOGITS.softmax(1))
    assert within("cross_entropy", call, {}) == ((call, {}), None)
    assert within("mse_loss", call, {}) == ((call, {}), None)


def test_the_loss_of_what_remains_is_exact():
    model, labels = nn.Linear(4, 3), torch.tensor([0, 1, 2, 7, 1, 0])
    x = seeded(6, 4)
    fact = traced(model, x, lambda output: F.cross_entropy(output, labels)).loss
    rest = labels != 7
    assert fact.value == pytest.approx(F.cross_entropy(model(x[rest]), labels[rest]).item())


def test_a_sample_of_a_large_target_reads_every_column():
    target = torch.arange(64.0).repeat(1000, 1)
    model = nn.Linear(4, 64)
    last = loss_in(traced(model, seeded(1000, 4), lambda output: F.mse_loss(output, target)))
    assert last.attributes["target_mean"] == pytest.approx(31.5, rel=0.05)
    assert (last.attributes["target_low"], last.attributes["target_high"]) == (0.0, 63.0)


@pytest.mark.parametrize("shape", [(), (6, 1)])
def test_targets_of_another_shape_are_not_read(shape):
    last = loss_in(traced(nn.Linear(4, 3), seeded(6, 4), lambda output: F.mse_loss(output, torch.ones(shape))))
    assert "target_mean" not in last.attributes
