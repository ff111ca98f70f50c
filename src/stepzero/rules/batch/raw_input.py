"""SZ901."""

import math
import statistics
from typing import NamedTuple

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Graph, InputFact, Operation, Trace
from stepzero.measure.inputs import first_layers, positions
from stepzero.measure.uses import weight_use


class Raw(NamedTuple):
    """One way in which an input is not standardised."""

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
    count = positions(fact)
    sure = 1 + limits.input_sure / math.sqrt(2 * (count - 1))
    channels = [pair for pair in zip(fact.channel_mean, fact.channel_std, strict=True) if pair[1] > 0.0]
    if not channels:
        return None
    typical, largest = statistics.median(std for _, std in channels), max(std for _, std in channels)
    offset = max(_offset(mean, std, typical, count, limits) for mean, std in channels)
    if fact.integer_like and fact.low >= 0.0 and fact.high > limits.input_pixel_high:
        return Raw(f"holds whole numbers up to {fact.high:g}", fact.high, limits.input_pixel_high, "value")
    if offset > limits.input_offset * sure:
        return Raw(
            f"has a channel whose mean is {offset:.1f} standard deviations from 0",
            offset,
            limits.input_offset,
            "deviations",
        )
    if largest > limits.input_std_high * sure:
        return Raw(f"has a channel of standard deviation {largest:.3g}", largest, limits.input_std_high, "deviation")
    if typical < limits.input_std_low / sure:
        return Raw(f"has a typical standard deviation of {typical:.2g}", typical, limits.input_std_low, "deviation")
    return None


def _offset(mean: float, std: float, typical: float, count: int, limits: Limits) -> float:
    """How many deviations the mean is surely away from 0, by the channel's own and by the typical deviation."""
    return (abs(mean) - limits.input_sure * std / math.sqrt(count)) / max(std, typical)


def _finding(fact: InputFact, layers: list[Operation], raw: Raw) -> Finding:
    uses = [weight_use(layer) for layer in layers]
    return Finding(
        code="SZ901",
        name="raw-input",
        severity="warning",
        where=tuple(dict.fromkeys(use.parameter for use in uses if use is not None)),
        message=f"input {fact.name!r} {raw.words}, the limit is {raw.limit:g}",
        value=raw.value,
        limit=raw.limit,
        unit=raw.unit,
        evidence="value",
        cause="raw-input",
        fix=Fix("standardise the input channel by channel"),
        citation="LeCun et al. 1998",
        operation=layers[0].index,
    )
