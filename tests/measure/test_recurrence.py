import pytest
import torch

import stepzero
from stepzero.measure.recurrence import recurrences
from tests.probe.observing import seeded
from tests.rules.signal.test_unusable_time_constants import Leaky, Selective, X


def found(model):
    return list(recurrences(stepzero.trace(model, X)))


def test_steps_and_parameters_of_a_selective_layer():
    (one,) = found(Selective(torch.zeros(16)))
    assert one.parameters[:2] == ("log_rate", "bias")
    assert (one.steps, one.is_gate, len(one.keep)) == (24, False, 16)
    assert one.keep == pytest.approx([0.5] * 16, abs=0.02)


def test_a_decay_without_the_batch_is_worked_out():
    raw = torch.nn.Parameter(seeded(16))
    (one,) = found(Leaky(raw, lambda each: torch.exp(-torch.nn.functional.softplus(each))))
    assert one.keep == pytest.approx(torch.exp(-torch.nn.functional.softplus(raw)).tolist())
    assert one.parameters == ("raw",)


def test_an_unknown_map_is_not_guessed():
    assert found(Leaky(torch.nn.Parameter(seeded(16)), torch.sin)) == []
