import math

import pytest
import torch
from torch import nn

from stepzero import api
from stepzero.core.landscape import SharpnessFact, StepFact
from stepzero.core.limits import Limits
from stepzero.core.trace import Trace
from stepzero.rules.gradient.sharp_start import sharp_start
from tests.rules.ask import ask, generator

X = torch.randn(32, 6, generator=generator(1))


class Line(nn.Module):
    """A linear map, whose mean square loss has the Hessian 2 X'X / n."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(1, 6, generator=generator(2)))

    def forward(self, x):
        return x @ self.weight.T


def square(output):
    return (output - 1).square().mean()


def said(lr, **options):
    optimizer = lambda model: torch.optim.SGD(model.parameters(), lr=lr)  # noqa: E731 - short
    return ask("SZ411", Line(), X, square, optimizer=optimizer, **{"deep": True, **options})


CURVATURE = float(torch.linalg.eigvalsh(2 * X.T @ X / 32)[-1])


@pytest.mark.parametrize("product", [2.2, 5.0, 20.0])
def test_the_product_is_that_of_the_closed_form(product):
    (finding,) = said(product / CURVATURE)
    assert finding.value == pytest.approx(product, rel=0.03)
    assert finding.severity == ("warning" if product > 12 else "info")
    assert finding.where == ("weight",)


def test_above_two_the_loss_of_a_quadratic_grows_for_ever():
    def trained(product):
        model = Line()
        optimizer = torch.optim.SGD(model.parameters(), lr=product / CURVATURE)
        for _ in range(100):
            optimizer.zero_grad()
            loss = square(model(X))
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert trained(2.2) > 1e2
    assert trained(1.8) < 1.5


def test_groups_count_with_their_own_rates():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = Line(), Line()

        def forward(self, x):
            return self.one(x) + self.other(x)

    def optimizer(model):
        groups = [{"params": model.one.parameters(), "lr": 1e-6}, {"params": model.other.parameters()}]
        return torch.optim.SGD(groups, lr=5.0 / CURVATURE)

    (finding,) = ask("SZ411", Two(), X, square, optimizer=optimizer, deep=True)
    assert finding.value == pytest.approx(5.0, rel=0.05)
    assert finding.where == ("other.weight",)


# -- traps ----------------------------------------------------------------------------------------------------------


def test_a_short_step_is_silent():
    assert said(1.5 / CURVATURE) == []


def test_it_takes_a_deep_check():
    assert said(20.0 / CURVATURE, deep=False) == []


def test_adaptive_optimizers_are_not_judged():
    assert ask("SZ411", Line(), X, square, optimizer="adam", lr=100.0, deep=True) == []


def test_the_record_says_why_there_is_none():
    trace = api.trace(Line(), X, square, probes=["sharpness"])
    assert "plain SGD" in trace.sharpness.reason


@pytest.mark.parametrize(("after", "severity"), [(1.0, "info"), (2.0, "info"), (3.0, "warning"), (math.nan, "warning")])
def test_only_a_step_that_raises_the_loss_makes_it_a_warning(after, severity):
    """Cross entropies are sharp at many a start, and a step leaves the sharp place downwards."""
    sharp = SharpnessFact(ran=True, value=154.0, parameters=(("weight", 1.0),))
    trace = Trace(model="made", sharpness=sharp, first_step=StepFact(ran=True, before=2.0, after=after))
    (finding,) = sharp_start.judge(trace, Limits())
    assert finding.severity == severity
