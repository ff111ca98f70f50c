from dataclasses import replace

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.core.optimizer import OptimizerFact
from stepzero.measure.updates import breaks_sums, extreme_updates, first_update, is_adaptive, paces


def test_ratio_of_the_first_step_to_the_weight():
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 4)), torch.randn(16, 8)
    seen = trace(model, x, lambda output: output.square().mean())
    model(x).square().mean().backward()
    weights = (model[0].weight, model[1].weight)
    ratios = [0.01 * p.grad.pow(2).mean().sqrt().item() / p.detach().pow(2).mean().sqrt().item() for p in weights]
    least, most = extreme_updates(seen, ["0.weight", "1.weight"], 0.01)
    assert (least, most) == (pytest.approx(min(ratios), rel=1e-5), pytest.approx(max(ratios), rel=1e-5))


def test_zero_and_frozen_weights_have_none():
    model = nn.Linear(8, 4)
    nn.init.zeros_(model.weight)
    model.bias.requires_grad_(False)
    assert extreme_updates(trace(model, torch.randn(16, 8)), ["weight", "bias"], 0.01) is None


@pytest.mark.parametrize(
    ("optimizer", "adaptive", "said"),
    [
        (OptimizerFact(), False, ""),
        (OptimizerFact("SGD", coupled_decay=0.1), False, ""),
        (OptimizerFact("Adam", is_adaptive=True), True, ""),
        (OptimizerFact("AdamW", is_adaptive=True), True, ""),
        (
            OptimizerFact("Adam", is_adaptive=True, coupled_decay=0.1),
            True,
            "Adam with weight decay 0.1 in the gradient",
        ),
    ],
)
def test_sums_part_only_where_decay_meets_a_division_by_the_gradient(optimizer, adaptive, said):
    """The table of theorem 2: coupled decay breaks lumped units under Adam, and not under gradient descent."""
    seen = replace(trace(nn.Linear(8, 4), torch.randn(16, 8)), optimizer=optimizer)
    assert (is_adaptive(seen), breaks_sums(seen)) == (adaptive, said)


def test_paces_in_front_of_a_norm_carry_the_scale():
    """A norm takes the scale away: what is 8 times its law moves 1/64 as fast. Elsewhere the scale is no matter."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(64, 64), nn.LayerNorm(64), nn.Linear(64, 4)), torch.randn(16, 64)
    with torch.no_grad():
        model[0].bias.zero_()
        model[0].weight.normal_(std=1 / 8)
    one = paces(trace(model, x, "mse", torch.zeros(16, 4)))
    with torch.no_grad():
        model[0].weight.mul_(8)
    eight = paces(trace(model, x, "mse", torch.zeros(16, 4)))
    assert [pace.fact.name for pace in one] == ["0.weight", "2.weight"]
    assert (one[0].scale, eight[0].scale, eight[1].scale) == (
        pytest.approx(1.0, rel=0.05),
        pytest.approx(8.0, rel=0.05),
        1.0,
    )
    assert one[0].value / eight[0].value == pytest.approx(64, rel=1e-3)


@pytest.mark.parametrize(
    ("name", "gradient", "size"),
    [("SGD", 0.5, 0.05), ("Adam", 0.5, 0.1), ("Adam", 1e-8, 0.05), ("RMSprop", 0.5, 1.0), ("Muon", 0.5, None)],
)
def test_size_of_the_first_update(name, gradient, size):
    found = first_update(OptimizerFact(name, 0.1, 1e-8), 0.1, gradient)
    assert found == (None if size is None else pytest.approx(size, rel=1e-4))
