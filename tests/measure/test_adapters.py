"""Low-rank adapters, by structure."""

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.adapters import alignment, factors, is_split_off, pairs
from stepzero.measure.meetings import ZeroPaths


class Adapted(nn.Module):
    """base(x) + scale * up(down(x)); ``zero`` names the factors that are zero."""

    def __init__(self, *zero, is_frozen=True, source="own", scale=2):
        super().__init__()
        self.scale = scale
        self.base, self.down, self.up = nn.Linear(8, 16), nn.Linear(8, 2, bias=False), nn.Linear(2, 16, bias=False)
        self.base.requires_grad_(not is_frozen)
        self.head, self.source = nn.Linear(16, 4), source
        for name in zero:
            nn.init.zeros_(self.get_parameter(f"{name}.weight"))

    def forward(self, x):
        read = x if self.source == "own" else torch.tanh(x)
        return self.head(F.relu(self.base(x) + self.scale * self.up(F.dropout(self.down(read), 0.1))))


def found(model, parameter, batch=None):
    record = trace(model, torch.randn(16, 8) if batch is None else batch)
    paths, fact = ZeroPaths(record), record.parameter(parameter)
    return factors(paths, paths.starts(fact)[0][0], paths.meetings(fact))


@pytest.mark.parametrize("zero", ["up", "down"])
def test_either_factor_may_be_the_zero_one(zero):
    assert found(Adapted(zero), f"{zero}.weight") == ("down.weight", "up.weight")


@pytest.mark.parametrize(
    "model",
    [Adapted("up", "down"), Adapted("up", is_frozen=False), Adapted("up", source="another")],
    ids=["both are zero", "beside a weight that trains", "reads something else"],
)
def test_what_is_no_adapter(model):
    assert found(model, "up.weight") == ()


def test_a_zero_layer_beside_a_frozen_one_is_a_branch():
    class Branch(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.zero = nn.Linear(8, 16).requires_grad_(False), nn.Linear(8, 16, bias=False)
            nn.init.zeros_(self.zero.weight)

        def forward(self, x):
            return self.base(x) + self.zero(x)

    assert found(Branch(), "zero.weight") == ()


class Merged(nn.Module):
    """(W + B A) x, as parametrisations write it."""

    def __init__(self, *, is_frozen):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(16, 8), requires_grad=not is_frozen)
        self.a, self.b = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.zeros(16, 2))

    def forward(self, x):
        return F.linear(x, self.weight + 0.5 * (self.b @ self.a))


@pytest.mark.parametrize(("is_frozen", "expected"), [(True, {"a", "b"}), (False, set())])
def test_a_product_added_to_the_weight_itself(is_frozen, expected):
    assert set(found(Merged(is_frozen=is_frozen), "b")) == expected


def test_convolutions():
    class Conv(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Conv2d(3, 8, 3, padding=1).requires_grad_(False)
            self.down, self.up = nn.Conv2d(3, 2, 3, padding=1, bias=False), nn.Conv2d(2, 8, 1, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x))

    assert found(Conv(), "up.weight", torch.randn(4, 3, 6, 6)) == ("down.weight", "up.weight")


@pytest.mark.parametrize("zero", [("b",), ("a",), ("a", "b")])
def test_both_factors_in_one_contraction(zero):
    class Contracted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.head = nn.Linear(8, 16).requires_grad_(False), nn.Linear(16, 4)
            self.a, self.b = nn.Parameter(torch.randn(2, 8)), nn.Parameter(torch.randn(16, 2))
            for name in zero:
                nn.init.zeros_(self.get_parameter(name))

        def forward(self, x):
            return self.head(F.relu(self.base(x) + torch.einsum("or,ri,bi->bo", self.b, self.a, x)))

    assert set(found(Contracted(), zero[0])) == ({"a", "b"} if len(zero) == 1 else set())


# -- pairs that are not zero ------------------------------------------------------------------------------------------


def paired(model):
    paths = ZeroPaths(trace(model, torch.randn(16, 8)))
    return [(pair, alignment(paths, pair)) for pair in pairs(paths)]


def test_a_pair_is_found_whatever_its_factors_hold():
    for model in (Adapted(), Adapted("up"), Adapted("up", "down")):
        ((pair, _),) = paired(model)
        assert pair.parameters == ("down.weight", "up.weight")
        assert pair.base.uses[0].parameter == "base.weight"
    assert pair.share == 0.0
    assert paired(Adapted(is_frozen=False)) == paired(Adapted(source="another")) == []


def test_the_share_counts_the_factor_behind_the_pair():
    ((pair, _),) = paired(Adapted())
    assert pair.share == pytest.approx(2 * pair.last.forward.rms / pair.base.forward.rms, rel=1e-5)


def test_alignment_of_a_drawn_pair_is_of_order_one_and_of_a_split_one_rounding():
    model = Adapted()
    ((_, drawn),) = paired(model)
    u, s, v = torch.linalg.svd(model.base.weight.detach(), full_matrices=False)
    with torch.no_grad():
        model.up.weight.copy_(u[:, :2] * s[:2])
        model.down.weight.copy_(v[:2])
        model.base.weight.sub_(model.up.weight @ model.down.weight)
    ((_, split),) = paired(model)
    assert drawn > 0.1
    assert split < 1e-5


def orthonormal(scale, *, taken):
    """A QR pair as OLoRA starts it: beside the base times ``scale``, and ``taken`` times off it."""
    model = Adapted(scale=scale)
    q, r = torch.linalg.qr(model.base.weight.detach())
    with torch.no_grad():
        model.up.weight.copy_(q[:, :2])
        model.down.weight.copy_(r[:2])
        model.base.weight.sub_(taken * model.up.weight @ model.down.weight)
    return model


@pytest.mark.parametrize("scale", [0.5, 2.0, 4.0])
def test_a_factorisation_taken_off_the_base_leaves_a_multiple_of_itself_whatever_the_scale(scale):
    torch.manual_seed(1)
    cases = {"whole": orthonormal(scale, taken=scale), "copied": orthonormal(scale, taken=0.0), "drawn": Adapted()}
    said = {}
    for name, model in cases.items():
        paths = ZeroPaths(trace(model, torch.randn(16, 8)))
        (pair,) = pairs(paths)
        said[name] = is_split_off(paths, pair, 0.01)
    assert said == {"whole": True, "copied": False, "drawn": False}
