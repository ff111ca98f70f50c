"""SZ407."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import GradientFact, Trace
from stepzero.measure.control import laws
from stepzero.measure.updates import first_update
from stepzero.measure.uses import WEIGHTS, readings


class Update(NamedTuple):
    """First update of one weight, relative to the weight's own size."""

    parameter: str
    size: float


@rule(
    "SZ407", "update-out-of-band", tier=1, limits=("update_low", "update_high", "update_floor", "gradient_reference_lr")
)
def update_out_of_band(trace: Trace, limits: Limits) -> Verdict:
    """The first update rewrites a weight, or hardly touches it.

    What it finds
    -------------
    The first update of each weight under the optimizer, its groups and its first learning rate, divided by the
    weight's own rms. Reported outside 1e-5 to 1e-1; about 1e-3 is usual.

    Why it matters
    --------------
    An update of a tenth of the weight throws the initialisation away in ten steps, before the loss says in which
    direction. One of a hundred-thousandth needs as many steps to make a difference: the layer is as good as frozen,
    while others move.

    When it is fine
    ---------------
    Biases, gains, lone numbers, frozen weights and weights without a gradient yet are not judged. A weight that starts
    at zero is measured by the size it grows to, a table by the rows of this batch. Without an optimizer gradient
    descent at 1e-2 is assumed and only a too large update is said, as a note. Under a warm-up the first rate counts:
    give that of its end as `lr` to judge both.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 4))
        nn.init.normal_(model[0].weight, std=1e-3)
        return model, torch.randn(64, 32), lambda output: (output - 30).square().mean()

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 4))
        labels = torch.arange(64) % 4
        return model, torch.randn(64, 32), lambda output: nn.functional.cross_entropy(output, labels)

    Fix
    ---
    Give the weight a group with a rate of its own, or draw it by its law when its size is what is wrong.

    References
    ----------
    LeCun et al. 1998, sections 4.6 and 4.7; Karpathy 2019.
    """
    if trace.loss.origin == "surrogate" or not trace.has_backward:
        yield NotJudged("no loss was given: the size of an update depends on it")
        return
    if trace.optimizer.name and trace.optimizer.lr is None:
        yield NotJudged("the optimizer was named without a learning rate: pass lr=, or the optimizer itself")
        return
    updates = list(_updates(trace, limits))
    large = [each for each in updates if each.size > limits.update_high]
    small = [each for each in updates if each.size < limits.update_low]
    if large:
        yield _finding(trace, large, max(large, key=lambda each: each.size), limits, limits.update_high)
    if small and trace.optimizer.name:
        yield _finding(trace, small, min(small, key=lambda each: each.size), limits, limits.update_low)


def _updates(trace: Trace, limits: Limits) -> Iterator[Update]:
    laws_, read = laws(trace), readings(trace)
    for fact in trace.parameters:
        slots = {use.slot for _, use in read.get(fact.name, [])}
        rate = _rate(trace, fact.name, limits)
        if not fact.requires_grad or fact.gradient is None or len(fact.shape) < 2 or not slots & set(WEIGHTS):
            continue
        size, arrived = fact.rms, _rms(fact.gradient, fact.numel, is_table="table" in slots)
        if (law := laws_.get(fact.name)) is not None and size < limits.update_floor * law.std:
            size = law.std  # a weight that starts at zero is measured by the size it grows to (catalogue 0.2)
        update = first_update(trace.optimizer, rate, arrived) if rate else None
        if update is not None and size > 0.0 and arrived > 0.0 and math.isfinite(arrived):
            yield Update(fact.name, update / size)


def _rate(trace: Trace, name: str, limits: Limits) -> float:
    rate = trace.optimizer.rate_of(name)
    return limits.gradient_reference_lr if rate is None else rate


def _rms(gradient: GradientFact, numel: int, *, is_table: bool) -> float:
    """Rms of the gradient; of a table, over the rows that this batch looks up."""
    rows = len(gradient.row_norm) - gradient.zero_rows
    return gradient.rms * math.sqrt(len(gradient.row_norm) / rows) if is_table and rows else gradient.rms


def _finding(trace: Trace, updates: list[Update], worst: Update, limits: Limits, limit: float) -> Finding:
    told, rate = trace.optimizer.name, _rate(trace, worst.parameter, limits)
    how = f"{told} at {rate:g}" if told else f"gradient descent at {rate:g}, which is assumed,"
    others = f", and {len(updates) - 1} more weights are out of band" if len(updates) > 1 else ""
    return Finding(
        code="SZ407",
        name="update-out-of-band",
        severity="warning" if told else "info",
        where=tuple(each.parameter for each in sorted(updates, key=lambda each: each != worst)),
        message=f"the first step of {how} moves it by {worst.size:.2g} of its size (limit {limit:g}){others}",
        value=worst.size,
        limit=limit,
        unit="relative update",
        evidence="gradient",
        fix=Fix("give it a learning rate of its own, or draw it by its law", worst.parameter),
        citation="LeCun et al. 1998",
    )
