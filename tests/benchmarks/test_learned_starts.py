"""GradInit and MetaInit as their formulas say."""

import pytest
import torch

from benchmarks import learned_starts
from benchmarks.learned_starts import _quotient, gradinit, metainit
from benchmarks.small import nets, tasks
from benchmarks.small.training import loss_of


def test_the_quotient_of_a_quadratic_is_its_curvature() -> None:
    """L = a w^2 / 2: g = a w, H g = a^2 w, so |(g - H g) / g - 1| = a."""
    weight = torch.tensor([3.0, -2.0], requires_grad=True)
    slope = torch.autograd.grad((0.7 * weight.square() / 2).sum(), weight, create_graph=True)
    product = torch.autograd.grad(slope[0].square().sum() / 2, weight, create_graph=True)
    assert _quotient(slope, product).item() == pytest.approx(0.7, rel=1e-3)


@pytest.mark.parametrize("optimizer", ["momentum", "adam"])
def test_gradinit_keeps_directions_and_lowers_the_loss_after_a_step(optimizer: str) -> None:
    torch.manual_seed(0)
    task, model = tasks.get("digits"), nets.plain(16, 3, "tanh")
    before = [value.detach().clone() for value in model.parameters()]
    cost = gradinit(model, task, optimizer=optimizer, seed=0, steps=20)
    assert cost == 20 * learned_starts.GRADINIT_STEP
    for old, new in zip(before, model.parameters(), strict=True):
        assert torch.cosine_similarity(old.flatten(), new.detach().flatten(), 0) > 0.9999
    assert not all(torch.equal(old, new) for old, new in zip(before, model.parameters(), strict=True))


def test_metainit_lowers_the_quotient() -> None:
    torch.manual_seed(0)
    task, model = tasks.get("digits"), nets.plain(16, 3, "tanh")

    def quotient() -> float:
        values = [value for value in model.parameters() if value.dim() > 1]
        inputs = torch.randn(256, 64, generator=torch.Generator().manual_seed(5))
        targets = torch.randint(10, (256,), generator=torch.Generator().manual_seed(6))
        slopes = torch.autograd.grad(loss_of(model(inputs), targets), values, create_graph=True)
        half = sum(slope.square().sum() for slope in slopes) / 2
        return _quotient(slopes, torch.autograd.grad(half, values)).item()

    before = quotient()
    metainit(model, task, seed=0, steps=100, rate=0.01)
    assert quotient() < before
