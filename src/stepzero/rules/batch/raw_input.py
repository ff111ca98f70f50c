"""SZ901."""

from typing import NamedTuple

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import InputFact, Operation, Trace
from stepzero.measure.inputs import first_layers, positions, spread_of_channels
from stepzero.measure.uses import weight_use


class Raw(NamedTuple):
    """One way in which an input is not standardised; ``words`` have a place for the value."""

    words: str
    value: float
    limit: float
    unit: str


@rule(
    "SZ901",
    "raw-input",
    tier=1,
    limits=("input_offset", "input_std_low", "input_std_high", "input_min_samples", "input_sure", "input_pixel_high"),
)
def raw_input(trace: Trace, limits: Limits) -> Verdict:
    """A float input reaches the first weight without being standardised.

    What it finds
    -------------
    Inputs that a weight reads directly: a channel whose mean is more than three of its own and of the typical
    standard deviations from zero, a channel of standard deviation above 20, a typical one below 0.05, or whole
    numbers up to 255. Means and spreads must be beyond the limit by three standard errors.

    Why it matters
    --------------
    The first layer's law assumes inputs of mean 0 and variance 1. An offset moves all units of the layer together
    and makes one direction of the loss far steeper than the others; a large scale saturates or explodes everything
    behind it.

    When it is fine
    ---------------
    Values in [0, 1] (images, masks, one-hot), integer ids, coordinates of unit size, constant channels, batches that
    are made up, and inputs that meet a norm or the model's own rescaling first are not reported.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        return model, 1000.0 + 10.0 * torch.randn(64, 8)

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.BatchNorm1d(8), nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        return model, 1000.0 + 10.0 * torch.randn(64, 8)

    Fix
    ---
    Subtract the mean and divide by the standard deviation of the training data, channel by channel, or fold both
    into a fresh first layer.

    References
    ----------
    LeCun et al. 1998, section 4.3; vsitzmann/siren#19; floodsung/DDPG#6.
    """
    graph = Graph(trace)
    for fact in trace.inputs:
        layers = first_layers(graph, fact.name) if fact.is_float and not fact.num_nonfinite else []
        if not layers:
            continue
        if fact.is_stand_in:
            yield NotJudged(f"{fact.name} is made up: it says nothing about the data")
        elif (count := positions(fact)) < limits.input_min_samples:
            yield NotJudged(f"{fact.name} has {count} positions a channel; {limits.input_min_samples:g} are needed")
        elif (raw := _raw(fact, limits)) is not None:
            yield _finding(fact, layers, raw)


def _raw(fact: InputFact, limits: Limits) -> Raw | None:
    if fact.low >= 0.0 and fact.high <= 1.0:
        return None
    if fact.integer_like and fact.low >= 0.0 and fact.high > limits.input_pixel_high:
        return Raw("holds whole numbers up to {:,g}", fact.high, limits.input_pixel_high, "value")
    spread = spread_of_channels(fact, limits.input_sure)
    if spread is None:
        return None
    told = (
        Raw("has a channel whose mean is {:.1f} deviations from 0", spread.offset, limits.input_offset, "deviations"),
        Raw("has a channel of standard deviation {:.3g}", spread.largest, limits.input_std_high, "deviation"),
    )
    if spread.typical < limits.input_std_low:
        return Raw("has a typical standard deviation of {:.2g}", spread.typical, limits.input_std_low, "deviation")
    return next((raw for raw in told if raw.value > raw.limit), None)


def _finding(fact: InputFact, layers: list[Operation], raw: Raw) -> Finding:
    uses = [weight_use(layer) for layer in layers]
    return Finding(
        code="SZ901",
        name="raw-input",
        severity="warning",
        where=tuple(dict.fromkeys(use.parameter for use in uses if use is not None)),
        message=f"input {fact.name!r} {raw.words.format(raw.value)}, the limit is {raw.limit:,g}",
        value=raw.value,
        limit=raw.limit,
        unit=raw.unit,
        evidence="value",
        cause="raw-input",
        fix=Fix("standardise the input channel by channel"),
        citation="LeCun et al. 1998",
        operation=layers[0].index,
    )
