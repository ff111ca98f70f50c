import pytest
import torch
from torch import nn
from torch.nn import functional as F

import stepzero
from stepzero.core.finding import RANK
from tests.probe.observing import Net, seeded
from tests.rules.ask import ask

X = seeded(32, 24)
FULL = seeded(16, 24, seed=5) / 5


class Adapted(nn.Module):
    """relu(base(x) + scale * up(drop(down(x)))) in front of a head."""

    def __init__(self, *zero, rank=4, scale=0.5, inner=None, reads=None):
        super().__init__()
        torch.manual_seed(0)
        self.base = nn.Linear(24, 16).requires_grad_(False)
        self.down, self.up = nn.Linear(24, rank, bias=False), nn.Linear(rank, 16, bias=False)
        self.head, self.scale = nn.Linear(16, 4), scale
        self.inner, self.reads = inner or nn.Identity(), reads or nn.Identity()
        for name in zero:
            nn.init.zeros_(self.get_parameter(f"{name}.weight"))

    def forward(self, x):
        low = F.dropout(self.inner(self.down(self.reads(x))), 0.1)
        return self.head(F.relu(self.base(x) + self.scale * self.up(low)))


def found(model, batch=X):
    return [(finding.severity, finding.where) for finding in ask("SZ702", model, batch)]


def split(kind, *, bias=True, rank=4):
    """The base gives a part of itself to the pair: W = rest + B A."""
    model = Adapted(rank=rank, scale=1.0)
    if kind == "qr":
        q, r = torch.linalg.qr(FULL)
        up, down = q[:, :rank], r[:rank]
    else:
        u, s, v = torch.linalg.svd(FULL, full_matrices=False)
        part = slice(0, rank) if kind == "largest" else slice(-rank, None)
        up, down = u[:, part] * s[part].sqrt(), s[part].sqrt()[:, None] * v[part]
    with torch.no_grad():
        model.up.weight.copy_(up)
        model.down.weight.copy_(down)
        model.base.weight.copy_(FULL - up @ down)
        model.base.bias.mul_(bias)
    return model


def test_both_factors_drawn():
    model = Adapted()
    (finding,) = ask("SZ702", model, X)
    assert (finding.severity, finding.where) == ("warning", ("up.weight", "down.weight"))
    with torch.no_grad():
        added, base = 0.5 * model.up(model.down(X)), model.base(X)
    assert finding.value == pytest.approx(float(added.square().mean().sqrt() / base.square().mean().sqrt()), rel=1e-4)
    assert "frozen base.weight" in finding.message


def test_the_fix_silences_it_and_the_start_is_the_base_again():
    model = Adapted()
    (finding,) = ask("SZ702", model, X)
    nn.init.zeros_(model.get_parameter(finding.fix.parameter))
    assert found(model) == []
    torch.testing.assert_close(model(X), model.head(F.relu(model.base(X))))


@pytest.mark.parametrize("size", [1e-8, 1e-4])
def test_size_decides(size):
    model = Adapted("up")
    nn.init.constant_(model.up.weight, size)
    assert bool(found(model)) == (size > 1e-6)


def contracted(self, x):
    return torch.tanh(self.base(x) + torch.einsum("or,ri,bi->bo", self.B, self.A, x))


def written_out(self, x):
    return torch.tanh(self.base(x) + self.gain * (x @ self.A.T @ self.B.T))


def packed(self, x):
    result = self.base(x)
    result[:, :8] += x @ self.A.T @ self.B[:8].T
    return torch.tanh(result)


@pytest.mark.parametrize("forward", [contracted, written_out, packed])
def test_written_without_modules(forward):
    parts = {"A": seeded(4, 24), "B": seeded(16, 4), "gain": torch.ones(())}
    model = Net(forward, base=nn.Linear(24, 16).requires_grad_(False), **parts)
    ((severity, where),) = found(model)
    assert severity == "warning"
    assert {"A", "B"} <= set(where)


def test_convolutions():
    parts = {"down": nn.Conv2d(3, 2, 3, padding=1, bias=False), "up": nn.Conv2d(2, 8, 1, bias=False)}
    base = nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)
    model = Net(lambda self, x: torch.tanh(self.base(x) + self.up(self.down(x))), base=base, **parts)
    assert found(model, seeded(4, 3, 6, 6)) == [("warning", ("up.weight", "down.weight"))]


def test_several_adapters_on_one_weight_are_told_one_by_one():
    def forward(self, x):
        return torch.tanh(self.base(x) + self.b1(self.a1(x)) + self.b2(self.a2(x)))

    parts = {name: nn.Linear(24, 4, bias=False) for name in ("a1", "a2")}
    parts |= {name: nn.Linear(4, 16, bias=False) for name in ("b1", "b2")}
    model = Net(forward, base=nn.Linear(24, 16).requires_grad_(False), **parts)
    assert [where for _, where in found(model)] == [("b1.weight", "a1.weight"), ("b2.weight", "a2.weight")]
    nn.init.zeros_(model.b1.weight)
    assert [where for _, where in found(model)] == [("b2.weight", "a2.weight")]


def test_a_bias_that_is_added_beside_a_zero_factor():
    model = Adapted("up")
    model.up.bias = nn.Parameter(torch.ones(16))
    ((_, where),) = found(model)
    assert "up.bias" in where
    assert "up.weight" not in where


def test_what_it_drowns_hangs_under_it():
    model = Adapted(scale=300.0)
    report = stepzero.check(model, X, "cross_entropy", torch.arange(32) % 4)
    (finding,) = (each for each in report.findings if each.code == "SZ702")
    assert finding.root is None
    assert {each.root for each in report.findings if each.code == "SZ501"} == {finding.id}
    worst = min((each.severity for each in report.findings), key=lambda severity: RANK[severity])
    assert finding.severity == worst, "as loud as its worst consequence"


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zero", [("up",), ("down",), ("up", "down")])
def test_either_factor_may_be_the_zero_one(zero):
    assert found(Adapted(*zero)) == []


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("kind", ["largest", "smallest", "qr"])
def test_a_pair_that_was_split_off_its_base_is_silent(kind, bias):
    model = split(kind, bias=bias)
    torch.testing.assert_close(model.base(X) + model.up(model.down(X)), F.linear(X, FULL, model.base.bias))
    assert found(model) == []


@pytest.mark.parametrize("kind", ["largest", "smallest", "qr"])
def test_in_bfloat16_too(kind):
    assert found(split(kind).bfloat16(), X.bfloat16()) == []


@pytest.mark.parametrize("rank", [1, 4, 12])
def test_a_drawn_pair_of_the_same_size_is_not_taken_for_a_split_one(rank):
    model = split("largest", rank=rank)
    nn.init.normal_(model.up.weight, std=0.3, generator=torch.Generator().manual_seed(3))
    assert len(found(model)) == 1


@pytest.mark.parametrize(
    "model",
    [Adapted(rank=24), Adapted(inner=nn.ReLU()), Adapted(reads=nn.Tanh())],
    ids=["not narrower than what it reads", "a bottleneck that is not linear", "reads something else"],
)
def test_what_is_no_adapter(model):
    assert found(model) == []


def test_a_pair_beside_a_weight_that_trains_is_a_layer():
    model = Adapted()
    model.base.requires_grad_()
    assert found(model) == []


def test_a_frozen_pair_is_silent():
    model = Adapted()
    for part in (model.up, model.down):
        part.requires_grad_(False)
    assert found(model) == []


def test_a_residual_stack_behind_a_frozen_layer_is_silent():
    def forward(self, x):
        h = self.base(x)
        return h + self.up(torch.relu(self.down(h))) + self.side(h)

    parts = {"down": nn.Linear(16, 4), "up": nn.Linear(4, 16), "side": nn.Linear(16, 16)}
    assert found(Net(forward, base=nn.Linear(24, 16).requires_grad_(False), **parts)) == []
