"""Close to the end of a dtype: what is named, and which large numbers are meant."""

import math

import pytest
import torch
from torch import nn

from tests.probe.observing import Net
from tests.rules.ask import ask, generator, he, severities

X = torch.randn(16, 32, generator=generator())


def loud(std, dtype=torch.float16):
    model = he(nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)))
    nn.init.normal_(model[0].weight, std=std, generator=generator())
    nn.init.normal_(model[4].weight, std=1e-4, generator=generator())
    return model.to(dtype), X.to(dtype)


def test_the_first_place_that_comes_close_is_named():
    model, batch = loud(600.0)
    found = ask("SZ312", model, batch)
    assert [(finding.severity, finding.where) for finding in found] == [("warning", ("0.weight", "0.bias"))]
    assert found[0].value > 6550
    assert "65504" in found[0].message.replace("6.55e+04", "65504")


@pytest.mark.parametrize(("std", "dtype"), [(15.0, torch.float16), (1500.0, torch.bfloat16), (1500.0, torch.float32)])
def test_smaller_numbers_and_wider_ranges_are_silent(std, dtype):
    model, batch = loud(std, dtype)
    assert severities("SZ312", model, batch) == []


def test_gradients_are_looked_at_as_well():
    model, batch = loud(0.2)
    (finding,) = ask("SZ312", model, batch, loss=lambda output: (output.float() * 6e4).sum())
    assert "receives gradients of" in finding.message


def test_float32_has_an_end_too():
    model, batch = loud(3e36, torch.float32)
    assert [finding.where[0] for finding in ask("SZ312", model, batch)] == ["0.weight"]


def test_a_mask_that_adds_the_smallest_number_is_silent():
    def attend(self, x):
        scores = self.q(x) @ self.k(x).transpose(-1, -2) / 4
        mask = torch.full(scores.shape[-2:], torch.finfo(scores.dtype).min).triu(1)
        return (scores + mask).softmax(-1) @ x

    model = Net(attend, q=nn.Linear(16, 16), k=nn.Linear(16, 16))
    assert severities("SZ312", model, torch.randn(4, 9, 16)) == []


def test_what_is_infinite_already_is_another_story():
    model, batch = loud(1500.0)
    with torch.no_grad():
        model[0].weight.fill_(math.inf)
    assert severities("SZ312", model, batch) == []
