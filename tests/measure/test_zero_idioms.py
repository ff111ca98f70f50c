"""Zeros that are meant, and the same zeros where they are a fault; what is accepted really moves in training."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.core.limits import Limits
from stepzero.measure.zero_idioms import Zeros


def zeroed(model, *names):
    for name in names:
        nn.init.zeros_(model.get_parameter(name))
    return model


class Block(nn.Module):
    def __init__(self, kind):
        super().__init__()
        self.kind, self.norm, self.fc = kind, nn.LayerNorm(8), nn.Linear(8, 8)
        self.last = nn.LayerNorm(8) if kind == "last norm" else nn.Identity()
        self.gate = nn.Parameter(torch.ones(() if kind == "scalar" else 8))
        names = {"last layer": ["fc.weight", "fc.bias"], "last norm": ["last.weight"], "dead": ["fc.weight", "fc.bias"]}
        zeroed(self, *names.get(kind, []), *(["gate"] if kind in ("scalar", "by channel", "dead") else []))

    def forward(self, x):
        return x + self.gate * self.last(self.fc(F.gelu(self.norm(x))))


class Modulated(nn.Module):
    """x + gate(c) * fc(norm(x) * (1 + scale(c)) + shift(c)), the three from one zero layer."""

    def __init__(self):
        super().__init__()
        self.norm, self.ada, self.fc = nn.LayerNorm(8, elementwise_affine=False), nn.Linear(8, 24), nn.Linear(8, 8)
        zeroed(self, "ada.weight", "ada.bias")

    def forward(self, x):
        shift, scale, gate = self.ada(F.silu(x)).chunk(3, -1)
        return x + gate * self.fc(self.norm(x) * (1 + scale) + shift)


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.q, self.k, self.v, self.head = (nn.Linear(8, 8) for _ in range(4))
        zeroed(self, "q.weight", "q.bias")

    def forward(self, x):
        return self.head(torch.softmax(self.q(x) @ self.k(x).mT, -1) @ self.v(x))


class Gated(nn.Module):
    def __init__(self):
        super().__init__()
        self.gate, self.fc, self.head = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 4)
        zeroed(self, "gate.weight", "gate.bias")

    def forward(self, x):
        return self.head(torch.sigmoid(self.gate(x)) * torch.tanh(self.fc(x)))


class Tokens(nn.Module):
    def __init__(self):
        super().__init__()
        self.cls, self.places, self.head = nn.Parameter(torch.zeros(1, 1, 8)), nn.Parameter(torch.zeros(1, 6, 8)), None
        self.mix, self.head = nn.Linear(6, 6), nn.Linear(8, 4)

    def forward(self, x):
        x = torch.cat([self.cls.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(torch.tanh(self.mix(x.mT)).mT)


class Gain(nn.Module):
    def __init__(self, as_gain):
        super().__init__()
        self.as_gain, self.offset, self.fc, self.head = (
            as_gain,
            nn.Parameter(torch.zeros(8)),
            nn.Linear(8, 8),
            nn.Linear(8, 4),
        )

    def forward(self, x):
        x = self.fc(x)
        x = x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6)
        return self.head(x * self.as_gain(self.offset))


def branch(kind):
    return nn.Sequential(nn.Linear(8, 8), Block(kind), nn.Linear(8, 4))


def head(width=4, **zero):
    names = zero.get("names", ("2.weight",))
    return zeroed(nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, width)), *names)


FINE = {
    "last layer of a branch": (lambda: branch("last layer"), {"1.fc.weight": "identity branch"}),
    "last norm of a branch": (lambda: branch("last norm"), {"1.last.weight": "identity branch"}),
    "one factor on a branch": (lambda: branch("scalar"), {"1.gate": "identity branch"}),
    "a factor a channel": (lambda: branch("by channel"), {"1.gate": "identity branch"}),
    "modulation from zeros": (
        lambda: nn.Sequential(nn.Linear(8, 8), Modulated(), nn.Linear(8, 4)),
        {"1.ada.weight": "identity branch"},
    ),
    "head": (head, {"2.weight": "zero head"}),
    "head without bias": (lambda: head(names=("2.weight", "2.bias")), {"2.weight": "zero head"}),
    "scalar head": (lambda: head(1), {"2.weight": "zero head"}),
    "query": (Attention, {"q.weight": "uniform attention"}),
    "gate": (Gated, {"gate.weight": "even gate"}),
    "tokens and places": (Tokens, {"cls": "zero token", "places": "identity branch"}),
    "1 + w": (lambda: Gain(lambda w: 1 + w), {"offset": "stored offset"}),
    "exp(w)": (lambda: Gain(torch.exp), {"offset": "stored offset"}),
}


def observed(build):
    torch.manual_seed(0)
    model = build()
    batch = torch.randn(16, 5, 8) if isinstance(model, Attention | Tokens) else torch.randn(16, 8)
    targets = torch.randn_like(model(batch))

    def loss(output):
        return (output - targets).square().mean()

    return model, batch, loss


def accepted(build):
    model, batch, loss = observed(build)
    return list(Zeros(trace(model, batch, loss, probes=("symmetry", "wake")), Limits()).accepted())


@pytest.mark.parametrize("name", FINE)
def test_what_is_meant_is_accepted_by_its_name(name):
    build, expected = FINE[name]
    assert {each.where[0]: each.idiom for each in accepted(build)} == expected


@pytest.mark.parametrize("name", FINE)
def test_what_is_accepted_moves_when_it_is_said_to(name):
    """Real gradient steps: after the step named, every row has left zero."""
    model, batch, loss = observed(FINE[name][0])
    steps = {each.where[0]: "live at step 0" not in each.why for each in accepted(FINE[name][0])}
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for step in range(2):
        optimizer.zero_grad()
        loss(model(batch)).backward()
        optimizer.step()
        for place in (place for place, wakes in steps.items() if wakes <= step):
            rows = model.get_parameter(place).detach()
            assert (rows.reshape(len(rows) if rows.dim() else 1, -1) != 0).any(1).all()


@pytest.mark.parametrize("kind", ["last layer", "last norm", "scalar", "by channel"])
def test_an_accepted_branch_is_the_identity(kind):
    model, batch, _ = observed(lambda: branch(kind))
    assert torch.equal(model[1](batch), batch)


FAULTS = {
    "gate and last layer are both zero": (lambda: branch("dead"), set()),
    "hidden layer on the only path": (lambda: head(names=("0.weight", "0.bias")), set()),
    "gain on the only path, in front of a rectifier": (
        lambda: zeroed(nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4)), "1.weight"),
        set(),
    ),
    "a factor that is 0, not 1": (lambda: Gain(lambda w: 2 * w), set()),
    "a factor of a half": (lambda: Gain(torch.sigmoid), set()),
    "a bias is never one of them": (lambda: head(names=("0.bias", "2.bias")), set()),
    "what takes no gradient": (lambda: head(names=("2.weight",)).requires_grad_(False), set()),
}


@pytest.mark.parametrize("name", FAULTS)
def test_the_same_zeros_in_the_wrong_place_are_not(name):
    build, expected = FAULTS[name]
    assert {each.where[0] for each in accepted(build)} == expected


def test_a_head_whose_rows_get_one_gradient_is_not_accepted():
    """Every output has the same target: the rows stay copies, which is no start to be proud of."""
    torch.manual_seed(0)
    model = head(names=("2.weight", "2.bias"))
    record = trace(model, torch.randn(16, 8), lambda output: (output - 1).square().mean(), probes=("symmetry", "wake"))
    assert list(Zeros(record, Limits()).accepted()) == []


def test_two_classes_have_gradients_of_one_size_and_two_signs():
    torch.manual_seed(0)
    target = torch.randint(0, 2, (16,))
    record = trace(head(2), torch.randn(16, 8), lambda output: F.cross_entropy(output, target), probes=("wake",))
    assert [each.idiom for each in Zeros(record, Limits()).accepted()] == ["zero head"]


def test_the_delay_of_what_stands_behind_is_told():
    (found,) = accepted(head)
    assert found.why.endswith("live at step 0, what waits behind it by step 1")


def test_without_the_probe_only_a_gradient_on_every_row_is_evidence():
    model, batch, loss = observed(head)
    assert [each.idiom for each in Zeros(trace(model, batch, loss), Limits()).accepted()] == ["zero head"]
    asleep = zeroed(branch("last layer"), "2.weight")
    found = Zeros(trace(asleep, batch, loss), Limits()).accepted()
    assert [each.where for each in found] == [("2.weight",)], "the branch behind the zero head was not seen to wake"


def test_rows_of_a_table_that_this_batch_does_not_ask_for_are_no_objection():
    class Embedded(nn.Module):
        def __init__(self):
            super().__init__()
            self.words, self.places = nn.Embedding(9, 8), nn.Embedding(32, 8)
            self.head = nn.Linear(8, 4)
            nn.init.zeros_(self.places.weight)

        def forward(self, ids):
            return self.head(self.words(ids) + self.places(torch.arange(ids.shape[1])))

    torch.manual_seed(0)
    target = torch.randn(4, 6, 4)
    record = trace(
        Embedded(), torch.randint(0, 9, (4, 6)), lambda out: (out - target).square().mean(), probes=("wake",)
    )
    assert [(each.idiom, each.where) for each in Zeros(record, Limits()).accepted()] == [
        ("identity branch", ("places.weight",))
    ]
