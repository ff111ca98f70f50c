"""Where branches end and whether scores are scaled, told by the graph."""

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.repair.paths import End, branch_ends, unscaled_queries
from tests.probe.observing import Net

X = torch.randn(4, 6, 8, generator=torch.Generator().manual_seed(0))


def attention(score):
    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        return score(q, k).softmax(-1) @ v

    return Net(forward, q=nn.Linear(8, 8), k=nn.Linear(8, 8), v=nn.Linear(8, 8))


@pytest.mark.parametrize(
    ("score", "factor"),
    [
        (lambda q, k: q @ k.transpose(1, 2), 8**-0.5),
        (lambda q, k: q @ k.transpose(1, 2) + torch.ones(6, 6), 8**-0.5),
        (lambda q, k: q @ k.transpose(1, 2) / 8**0.5, None),
        (lambda q, k: (q * 8**-0.5) @ k.transpose(1, 2), None),
        (lambda q, k: torch.einsum("btd,bsd->bts", q, k), 8**-0.5),
    ],
)
def test_the_query_makes_up_for_a_missing_root(score, factor):
    found = unscaled_queries(trace(attention(score), X))
    assert found == ({} if factor is None else {"q.weight": pytest.approx(factor)})


@pytest.mark.parametrize(("scale", "factor"), [(None, None), (1.0, 8**-0.5), (1 / 8, None)])
def test_a_fused_attention_says_its_scale(scale, factor):
    def forward(self, x):
        return nn.functional.scaled_dot_product_attention(self.q(x), self.k(x), self.v(x), scale=scale)

    model = Net(forward, q=nn.Linear(8, 8), k=nn.Linear(8, 8), v=nn.Linear(8, 8))
    found = unscaled_queries(trace(model, X))
    assert found == ({} if factor is None else {"q.weight": pytest.approx(factor)})


def residual(depth, make):
    def forward(self, x):
        for block in self.blocks:
            x = x + block(x)
        return x

    return Net(forward, blocks=nn.ModuleList([make() for _ in range(depth)]))


def test_the_last_weight_of_each_branch_and_the_number_of_branches():
    model = residual(3, lambda: nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8), nn.Dropout(0.1)))
    assert branch_ends(trace(model, X)) == {f"blocks.{index}.2.weight": End(3) for index in range(3)}


def test_a_norm_at_the_end_carries_the_factor():
    model = residual(2, lambda: nn.Sequential(nn.Linear(8, 8), nn.LayerNorm(8)))
    assert branch_ends(trace(model, X)) == {f"blocks.{index}.1.weight": End(2) for index in range(2)}


def stream(depth, norms, first=None):
    """Branches added to one stream, with what ``norms`` makes behind each addition."""

    def forward(self, x):
        x = self.first(x)
        for block, norm in zip(self.blocks, self.norms, strict=True):
            x = norm(x + block(x))
        return x

    blocks = nn.ModuleList(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 8)) for _ in range(depth))
    return Net(
        forward, first=first or nn.Identity(), blocks=blocks, norms=nn.ModuleList(norms(k) for k in range(depth))
    )


@pytest.mark.parametrize(
    ("norms", "first", "is_normed"),
    [
        (lambda _: nn.LayerNorm(8), None, True),
        (lambda _: nn.Sequential(nn.Dropout(0.1), nn.LayerNorm(8)), nn.LayerNorm(8), True),
        (lambda _: nn.Identity(), nn.LayerNorm(8), False),
        (lambda k: nn.LayerNorm(8) if k == 3 else nn.Identity(), None, False),  # one norm at the end of the stream
        (lambda _: nn.ReLU(), None, False),
    ],
)
def test_norms_on_the_stream_itself(norms, first, is_normed):
    found = branch_ends(trace(stream(4, norms, first), X))
    assert list(found.values()) == [End(4, is_normed)] * 4


def test_a_lone_branch_has_no_neighbour_to_be_apart_from():
    assert branch_ends(trace(stream(1, lambda _: nn.LayerNorm(8)), X)) == {"blocks.0.2.weight": End(1)}


@pytest.mark.parametrize("layers", [1, 6, 100])
def test_behind_norms_a_branch_has_the_share_of_deepnorm(layers):
    """Skip times alpha, both weights of a branch times beta, two branches a layer."""
    alpha, beta = (2 * layers) ** 0.25, (8 * layers) ** -0.25
    assert End(2 * layers, is_normed=True).share == pytest.approx(beta**4 / alpha**2)
    assert End(2 * layers).share == pytest.approx(1 / (2 * layers))


def test_an_activation_at_the_end_has_no_last_weight():
    model = residual(2, lambda: nn.Sequential(nn.Linear(8, 8), nn.ReLU()))
    assert branch_ends(trace(model, X)) == {}


def test_a_plain_stack_has_none():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    assert branch_ends(trace(model, X)) == unscaled_queries(trace(model, X)) == {}
