import math

import pytest
import torch
from torch import nn

from stepzero.probe.capture import module_path
from stepzero.probe.slices import Slices, changed, first_changed, prints
from tests.probe.observing import seeded

X = seeded(5, 4)


def watched(model, x):
    watch = Slices(model, 0, 5)
    with torch.no_grad(), module_path(watch), watch:
        model(x)
    return watch


def test_prints_tell_slices_apart_and_only_them():
    values, sizes = prints(X, 0)
    again, _ = prints(X.flip(0), 0)
    assert torch.equal(values, again.flip(0))
    assert torch.allclose(sizes, X.double().norm(dim=1))
    assert torch.equal(prints(X.T.contiguous(), 1)[0], values)


def test_the_change_of_each_slice_is_relative():
    other = X.clone()
    other[2] *= 1.5
    assert changed(X, other, 0).tolist() == pytest.approx([0, 0, 0.5, 0, 0])
    assert changed(X, X[:, :2], 0).tolist() == [math.inf] * 5


def test_the_first_call_that_shows_a_change_is_named():
    class Mean(nn.Module):
        def forward(self, x):
            return x - x.mean(0, keepdim=True)

    model = nn.Sequential(nn.Linear(4, 3), Mean(), nn.ReLU())
    other = X.clone()
    other[0] += 1
    pair = watched(model, X), watched(model, other)
    name, kind, module = first_changed(*pair, torch.arange(5) != 0, 1e-6)
    assert (name, kind, module) == ("sub", "add", "1")
    assert first_changed(pair[0], watched(model, X), torch.ones(5, dtype=torch.bool), 1e-6) == ("", "", "")


def test_other_calls_in_the_second_run_end_the_comparison():
    one, other = watched(nn.Linear(4, 3), X), watched(nn.ReLU(), X + 1)
    assert first_changed(one, other, torch.ones(5, dtype=torch.bool), 1e-6) == ("", "", "")
