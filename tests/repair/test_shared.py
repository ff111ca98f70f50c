"""One memory under two parameters: written once, never scaled, and the reason is true."""

import torch
from torch import nn

import stepzero as sz
from stepzero.core.plan import Entry
from stepzero.repair.shared import decided, shared
from tests.repair.judging import bits

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))


class Mirrored(nn.Module):
    """The decoder's weight is the encoder's, transposed, under a Parameter of its own."""

    def __init__(self):
        super().__init__()
        self.encoder, self.decoder, self.head = nn.Linear(8, 6), nn.Linear(6, 8), nn.Linear(8, 3)
        self.decoder.weight = nn.Parameter(self.encoder.weight.detach().t())

    def forward(self, x):
        return self.head(torch.tanh(self.decoder(torch.tanh(self.encoder(x)))))


def test_only_memory_that_overlaps_is_shared():
    model = Mirrored()
    assert shared(model) == {"encoder.weight": ("decoder.weight",), "decoder.weight": ("encoder.weight",)}
    flat = torch.randn(20)
    rows = nn.ParameterList([nn.Parameter(flat[:10]), nn.Parameter(flat[10:]), nn.Parameter(flat)])
    assert shared(rows) == {"0": ("2",), "1": ("2",), "2": ("0", "1")}
    assert shared(nn.ParameterList([nn.Parameter(flat[:10]), nn.Parameter(flat[10:])])) == {}
    tied = nn.ModuleList([nn.Linear(3, 3), nn.Linear(3, 3)])
    tied[1].weight = tied[0].weight
    assert shared(tied) == {}
    assert shared(nn.LazyLinear(3)) == {}
    assert shared(nn.Linear(0, 3)) == {}


def test_the_first_is_written_unless_one_is_kept():
    both = {"a": ("b",), "b": ("a",)}
    written = decided([Entry("a", "drawn"), Entry("b", "set"), Entry("c", "set")], both)
    assert [entry.action for entry in written] == ["drawn", "skipped", "set"]
    assert "that of a, which was written" in written[1].why
    assert [entry.action for entry in decided([Entry("a", "drawn"), Entry("b", "kept")], both)] == ["skipped", "kept"]
    assert [entry.action for entry in decided([Entry("a", "skipped"), Entry("b", "drawn")], both)] == [
        "skipped",
        "drawn",
    ]


def test_a_transposed_twin_is_no_forward_that_differs():
    model = Mirrored()
    plan = sz.init_(model, X)
    assert plan.entry("decoder.weight").action == "skipped"
    assert "a factor would scale too" in dict(plan.skipped)["encoder.weight"]
    assert [scaling.name for scaling in plan.scalings] == ["head.weight"]
    assert torch.equal(model.decoder.weight, model.encoder.weight.t())
    saved = bits(model)
    sz.init_(model, X)
    assert all(torch.equal(value, saved[name]) for name, value in model.state_dict().items())


def test_a_frozen_twin_keeps_both():
    model = Mirrored()
    model.decoder.weight.requires_grad_(False)
    saved = bits(model)
    for given in ((), (X,)):
        sz.init_(model, *given)
        assert torch.equal(model.encoder.weight, saved["encoder.weight"])
