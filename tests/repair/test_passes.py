"""The pass sees every product with a weight, by layer or by hand, and what is added to it."""

from collections import OrderedDict

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.repair import passes
from stepzero.repair.passes import Target
from tests.repair.judging import calibrated, hooked

WIDTH = 32
X = torch.randn(64, WIDTH, generator=torch.Generator().manual_seed(1)) * 3

# -- kinds of layers ---------------------------------------------------------------------------------------------------

CONVS = {
    "grouped": (nn.Conv2d(8, 12, 3, groups=4, padding=1), (4, 8, 6, 6)),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8), (4, 8, 6, 6)),
    "strided": (nn.Conv2d(8, 6, 3, stride=2), (4, 8, 7, 7)),
    "dilated 1d": (nn.Conv1d(8, 6, 3, dilation=2), (4, 8, 12)),
    "3d": (nn.Conv3d(2, 5, 2), (4, 2, 4, 4, 4)),
    "transposed": (nn.ConvTranspose2d(8, 6, 4, stride=2), (4, 8, 5, 5)),
    "transposed 1d, grouped": (nn.ConvTranspose1d(8, 6, 4, groups=2), (4, 8, 5)),
    "without a batch": (nn.Conv2d(8, 6, 3), (8, 6, 6)),
    "square without a batch": (nn.Conv1d(6, 6, 1), (6, 6)),
}


def test_an_output_that_is_not_real_is_told():
    weight = nn.Parameter(torch.randn(3, 8, dtype=torch.complex64))
    watcher = passes.Pass({id(weight): "w"}, {"w": passes.Target()})
    with torch.no_grad(), watcher:
        torch.ones(4, 8, dtype=torch.complex64) @ weight.T
    assert "not real" in watcher.found.skipped["w"]


@pytest.mark.parametrize("kind", CONVS)
def test_convolutions(kind):
    layer, shape = CONVS[kind]
    nn.init.normal_(layer.bias, 0.2, 0.4)
    model = nn.Sequential(OrderedDict(conv=layer))
    x = torch.randn(shape)
    calibrated(model, x)
    assert hooked(model, x, kinds=(type(layer),)) == pytest.approx({"conv": 1.0}, abs=1e-5)


class Raw(nn.Module):
    """A weight that no layer holds, and a bias added by hand."""

    def __init__(self, product, *shape):
        super().__init__()
        self.w, self.product = nn.Parameter(torch.randn(*shape)), product

    def forward(self, x):
        return torch.relu(self.product(x, self.w))


@pytest.mark.parametrize(
    ("product", "shape"),
    [
        (lambda x, w: x @ w, (WIDTH, 7)),
        (lambda x, w: x @ w.t(), (7, WIDTH)),
        (lambda x, w: x @ w.T.contiguous(), (7, WIDTH)),
        (lambda x, w: x.matmul(w.view(WIDTH, 7)), (7 * WIDTH, 1)),
        (lambda x, w: torch.einsum("bi,io->bo", x, w), (WIDTH, 7)),
        (lambda x, w: torch.einsum("bi,hik->bhk", x, w), (3, WIDTH, 5)),
        (lambda x, w: torch.addmm(torch.full((7,), 0.5), x, w), (WIDTH, 7)),
        (lambda x, w: F.linear(x, w.T, bias=torch.arange(7) / 10), (WIDTH, 7)),
        (lambda x, w: torch.bmm(x.view(4, 16, WIDTH), w), (4, WIDTH, 7)),
        (lambda x, w: torch.tensordot(x, w, dims=1), (WIDTH, 7)),
        (lambda x, w: w @ x.T, (7, WIDTH)),
    ],
)
def test_weights_that_no_layer_holds(product, shape):
    model = Raw(product, *shape)
    found, _ = calibrated(model, X)
    assert not found.skipped
    with torch.no_grad():
        assert float(product(X, model.w).std(correction=0)) == pytest.approx(1.0, abs=1e-5)


def test_bilinear_with_a_bias():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer = nn.Bilinear(WIDTH, WIDTH, 6)
            nn.init.normal_(self.layer.bias, 0.5, 0.5)

        def forward(self, x):
            return self.layer(x, x.flip(0))

    model = Two()
    calibrated(model, X)
    assert hooked(model, X, kinds=(nn.Bilinear,)) == pytest.approx({"layer": 1.0}, abs=1e-5)


@pytest.mark.parametrize(
    "product",
    [
        lambda x, w: torch.addmm(x[:, :7], x, w),  # adds a stream, no bias
        lambda x, w: torch.addmm(torch.arange(7.0), x, w, beta=0.5),
        lambda x, w: torch.addmm(torch.arange(7.0), x, w, alpha=2),
        lambda x, w: torch.baddbmm(torch.arange(448.0).view(4, 16, 7), x.view(4, 16, WIDTH), w.expand(4, -1, -1)),
    ],
)
def test_what_cannot_be_solved_for_is_left_and_said(product):
    model = Raw(product, WIDTH, 7)
    saved = model.w.clone()
    found, _ = calibrated(model, X)
    if "w" in found.skipped:
        assert torch.equal(model.w, saved)
    else:
        with torch.no_grad():
            assert float(product(X, model.w).std(correction=0)) == pytest.approx(1.0, abs=1e-5)


def test_a_target_can_be_a_ceiling():
    """What is louder is scaled down to it, what is quieter stays, and is listed."""
    model = nn.Linear(WIDTH, WIDTH, bias=False)
    before = model.weight.detach().clone()
    std = float(model(X).detach().std(correction=0))
    found, _ = calibrated(model, X, targets={"weight": Target(2 * std, is_most=True)})
    assert same_weights(model, before)
    assert "not too much" in found.skipped["weight"]
    calibrated(model, X, targets={"weight": Target(std / 2, is_most=True)})
    assert float(model(X).detach().std(correction=0)) == pytest.approx(std / 2, rel=1e-5)


def same_weights(model, before):
    return torch.equal(model.weight, before)
