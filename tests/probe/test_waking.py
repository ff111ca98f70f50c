"""One step is enough behind one zero, and is seen not to be where it is not."""

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.control import laws
from stepzero.probe.replica import Replica
from stepzero.probe.sleepers import Sleepers
from stepzero.probe.subject import subject_of
from stepzero.probe.waking import after_one_step, step
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends, Gated, by_name, only_biases, woken, zeroed


def first_step(model, batch=X):
    subject = subject_of(model, batch, square)
    sleepers = Sleepers(
        Replica(subject, as_is=True), laws(trace(model, batch, square)), 3, 0, frozenset(), 1e-5, frozenset()
    )
    look = sleepers.look(0)
    return after_one_step(sleepers, *step(sleepers, look)), sleepers


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (zeroed(stack(6, 8, 8, 3), "4.weight"), X),
        (zeroed(Gated(), "gate.weight"), X),
        (zeroed(Attends(), "o.weight"), TOKENS),
    ],
)
def test_behind_one_zero_all_is_awake_after_one_step(model, batch):
    found, sleepers = first_step(model, batch)
    assert found is not None
    assert found.rounding == frozenset()
    assert all(bool((size > 0).all()) for size in found.sizes.values() if size is not None)
    for name, parameter in model.named_parameters():  # and the copy is back at the start
        assert torch.equal(sleepers.replica.parameters[name], parameter)


@pytest.mark.parametrize("model", [only_biases(3), zeroed(Gated(), "gate.weight", "up.weight")])
def test_what_takes_longer_or_never_wakes_is_left_to_the_longer_question(model):
    assert first_step(model)[0] is None


def test_an_offset_that_only_rounding_reaches_changes_nothing():
    """Behind a zero output projection the key's bias waits as all do, and is left with rounding: it cancels."""
    model = zeroed(Attends(bias=True), "o.weight")
    found, _ = first_step(model, TOKENS)
    assert found is not None
    assert found.rounding == {"k.bias"}
    assert found.change < 1e-5
    fact = by_name(woken(model, TOKENS))
    assert (fact["k.bias"].cause, fact["k.bias"].stuck) == ("algebra", 8)
    assert (fact["q.weight"].cause, fact["q.weight"].delay) == ("", 1)


def test_packed_biases_are_told_apart_slice_by_slice():
    torch.manual_seed(0)
    model = nn.MultiheadAttention(8, 2, batch_first=True)
    nn.init.zeros_(model.out_proj.weight)
    nn.init.normal_(model.in_proj_bias)

    class Self(nn.Module):
        def __init__(self):
            super().__init__()
            self.attention, self.head = model, nn.Linear(8, 3)

        def forward(self, x):
            return self.head(x + self.attention(x, x, x)[0])

    found, _ = first_step(Self(), TOKENS)
    assert found is not None
    assert found.rounding == {"attention.in_proj_bias"}
    biases = found.sizes["attention.in_proj_bias"].view(3, 8)
    assert [bool((each > 0).all()) for each in biases] == [True, False, True]


def test_a_branch_behind_a_scalar_gate_of_zero_wakes_whole():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)
            self.gate = nn.Parameter(torch.zeros(()))

        def forward(self, x):
            return self.head(torch.tanh(self.a(x)) + self.gate * torch.tanh(self.b(torch.tanh(self.a(x)))))

    torch.manual_seed(0)
    found, _ = first_step(Branch())
    assert found is not None
    assert found.rounding == frozenset()


class Squeezed(nn.Module):
    """A residual branch that starts at zero, with a squeeze-and-excite gate of which some units are off for all."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.norm = nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8)
        self.squeeze, self.excite = nn.Linear(8, 12), nn.Linear(12, 8)
        self.last, self.end, self.head = nn.Conv2d(8, 3, 1), nn.BatchNorm2d(3), nn.Linear(3, 3)
        nn.init.zeros_(self.end.weight)
        nn.init.uniform_(self.squeeze.bias, -1.5, 0.5)

    def forward(self, x):
        out = self.norm(self.conv(x)).relu()
        out = out * self.excite(self.squeeze(out.mean((2, 3))).relu()).sigmoid()[..., None, None]
        return self.head((x + self.end(self.last(out))).relu().mean((2, 3)))


def test_units_that_are_off_behind_a_zero_do_not_keep_float64_busy(monkeypatch):
    images = torch.randn(4, 3, 6, 6, generator=torch.Generator().manual_seed(1))
    kinds = []
    init = Replica.__init__

    def counted(self, subject, *, as_is=False):
        kinds.append(as_is)
        init(self, subject, as_is=as_is)

    monkeypatch.setattr(Replica, "__init__", counted)
    fact = woken(Squeezed(), images)
    assert kinds == [True]
    found = by_name(fact)
    assert found["squeeze.weight"].cause == found["squeeze.bias"].cause == "value"
    assert found["squeeze.weight"].stuck > 0
    assert found["conv.weight"].stuck == 0
    assert found["conv.weight"].delay == 1
    assert fact.products == ()


def test_what_leads_nowhere_is_unused_without_a_step():
    class Spare(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.spare, self.b = nn.Linear(6, 8), nn.Linear(8, 8), nn.Linear(8, 3)

        def forward(self, x):
            hidden = self.a(x).tanh()
            self.spare(hidden)
            return self.b(hidden)

    fact = woken(Spare())
    assert fact.steps == 0
    assert {name: each.cause for name, each in by_name(fact).items()} == {
        "spare.weight": "unused",
        "spare.bias": "unused",
    }
