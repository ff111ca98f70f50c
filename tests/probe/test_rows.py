"""Rows of a weight, in the order of the units of the operation's result, for every way to multiply."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.core.symmetry import SymmetryFact
from stepzero.probe import symmetry as probe
from stepzero.probe.capture import capture
from stepzero.probe.rows import row_matrix
from stepzero.probe.subject import subject_of
from tests.probe.observing import Net, seeded, traced
from tests.probe.planting import square


def use_in(model, batch, name):
    trace = traced(model, batch, square)
    (use,) = [use for operation in trace.weighted() for use in operation.uses if use.parameter == name][:1]
    return use


def of(function, weight, batch, **parts):
    model = Net(function, w=weight, **parts)
    return row_matrix(model.w, use_in(model, batch, "w"))


W = seeded(5, 3)
X = seeded(4, 3)


@pytest.mark.parametrize(
    ("function", "weight"),
    [
        (lambda self, x: F.linear(x, self.w), W),
        (lambda self, x: x @ self.w.T, W),
        (lambda self, x: x @ self.w, W.T.contiguous()),
        (lambda self, x: (self.w @ x.T).T, W),
        (lambda self, x: torch.einsum("oi,bi->bo", self.w, x), W),
        (lambda self, x: torch.einsum("bi,io->bo", x, self.w), W.T.contiguous()),
        (lambda self, x: torch.addmm(torch.zeros(5), x, self.w.t()), W),
    ],
)
def test_each_row_is_what_feeds_one_unit(function, weight):
    assert torch.equal(of(function, weight, X), W)


def test_heads_and_experts_follow_each_other():
    weight = seeded(2, 3, 4)
    for function in (
        lambda self, x: torch.einsum("bi,hie->bhe", x, self.w),
        lambda self, x: torch.bmm(x.expand(2, -1, -1), self.w),
    ):
        assert torch.equal(of(function, weight, X), weight.transpose(1, 2).reshape(8, 3))


@pytest.mark.parametrize(
    ("layer", "rows"),
    [
        (nn.Conv2d(3, 6, 2), lambda w: w.reshape(6, -1)),
        (nn.Conv2d(3, 6, 1, groups=3), lambda w: w.reshape(6, -1)),
        (nn.ConvTranspose2d(3, 6, 2), lambda w: w.movedim(1, 0).reshape(6, -1)),
    ],
)
def test_channels_of_convolutions(layer, rows):
    use = use_in(layer, seeded(2, 3, 5, 5), "weight")
    assert torch.equal(row_matrix(layer.weight, use), rows(layer.weight.detach()))


def test_an_embedding_has_one_row_a_coordinate():
    table = nn.Embedding(7, 4)
    model = nn.Sequential(table, nn.Linear(4, 2))
    use = use_in(model, torch.arange(5), "0.weight")
    assert torch.equal(row_matrix(table.weight, use), table.weight.detach().T)


def test_a_slice_of_a_packed_weight():
    weight = seeded(9, 3)

    def forward(self, x):
        return F.linear(x, self.w[3:8])

    assert torch.equal(of(forward, weight, X), weight[3:8])


@pytest.mark.parametrize(
    "function",
    [
        lambda self, x: F.linear(x, 2 * self.w),
        lambda self, x: F.linear(x, self.w / self.w.norm()),
        lambda self, x: F.linear(x, self.w - self.w.mean(1, keepdim=True)),
    ],
)
def test_what_is_computed_from_a_parameter_has_no_rows_of_its_own(function):
    assert of(function, W, X) is None


@pytest.mark.parametrize("name", ["weight_ih_l0", "weight_hh_l0"])
def test_packed_gates_have_none(name):
    lstm = nn.LSTM(3, 4, batch_first=True)
    model = Net(lambda self, x: self.lstm(x)[0], lstm=lstm)
    trace = traced(model, seeded(2, 5, 3), square)
    (use,) = [use for operation in trace.weighted() for use in operation.uses if use.parameter == f"lstm.{name}"]
    assert row_matrix(getattr(lstm, name), use) is None


def test_rows_are_no_part_of_the_graph():
    assert not of(lambda self, x: F.linear(x, self.w), W, X).requires_grad


# -- units that look alike on a batch whose samples do ----------------------------------------------------------------


class Pooled(nn.Module):
    """Two samples of pooled noise hardly differ, and a thousand classes read them."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.head = nn.Conv2d(3, 16, 3), nn.Linear(16, 1000)

    def forward(self, x):
        return self.head(self.conv(x).relu().mean((2, 3)))


IMAGES, LABELS = seeded(2, 3, 16, 16), torch.tensor([3, 7])


def told(model) -> SymmetryFact:
    subject = subject_of(model, IMAGES, "cross_entropy", LABELS)
    return probe.symmetry(subject, capture(subject))


def test_classes_that_look_alike_are_told_apart_by_their_rows_without_a_copy(monkeypatch):
    def never(*_, **__):
        raise AssertionError("no copy is needed")

    monkeypatch.setattr(probe, "Replica", never)
    fact = told(Pooled())
    assert (fact.ran, fact.blocks) == (True, ())
    assert {width.parameter: width.distinct for width in fact.widths} == {"conv.weight": 16, "head.weight": 1000}


def test_a_copy_among_them_is_found():
    model = Pooled()
    with torch.no_grad():
        for tensor in (model.conv.weight, model.conv.bias):
            tensor[5] = tensor[2]
        model.head.weight[:, 5] = model.head.weight[:, 2]
    assert [block.members[0].units for block in told(model).blocks if block.level == "twins"] == [(2, 5)]
