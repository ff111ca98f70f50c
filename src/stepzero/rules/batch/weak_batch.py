"""SZ905."""

import statistics
from collections.abc import Iterator
from typing import NamedTuple

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import InputFact, Trace
from stepzero.measure.words import enumerated


class Weakness(NamedTuple):
    """One way in which a batch says too little."""

    words: str
    value: float
    limit: float
    unit: str
    unjudged: tuple[str, ...] = ()
    """Rules that it leaves without an answer."""


@rule(
    "SZ905",
    "weak-batch",
    tier=2,
    limits=(
        "weak_samples",
        "weak_constant",
        "dead_min_rows",
        "saturated_min_rows",
        "bias_min_rows",
        "gate_min_rows",
        "input_min_samples",
        "target_min_samples",
    ),
)
def weak_batch(trace: Trace, limits: Limits) -> Verdict:
    """The batch says too little: rules that need many different samples cannot judge.

    What it finds
    -------------
    A batch of one sample, samples that are equal, inputs of which more than half of the features never change, inputs
    that were made up, and too few positions for a rule. The note names the rules that have no answer, or a weak one.

    Why it matters
    --------------
    Dead units, saturation, scales and symmetries are properties of a network on data. With one sample every unit is
    either always on or always off, and nothing can be said to vary.

    When it is fine
    ---------------
    Always a note: the model may be sound. One-hot and sparse features that are mostly zero are ordinary; the note says
    only how little the rules saw.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(1, 8)

    expected = ("",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(64, 8)

    Fix
    ---
    Pass a real batch of 32 different samples or more.

    References
    ----------
    Karpathy 2019; catalogue section 0.6.
    """
    for weakness in _weaknesses(trace, limits):
        names = f": {enumerated(weakness.unjudged, len(weakness.unjudged))} cannot judge" if weakness.unjudged else ""
        yield Finding(
            code="SZ905",
            name="weak-batch",
            severity="info",
            where=("",),
            message=f"{weakness.words}{names}",
            value=float(weakness.value),
            limit=float(weakness.limit),
            unit=weakness.unit,
            evidence="fact",
            fix=Fix("pass a real batch of 32 samples or more"),
            citation="Karpathy 2019",
        )


def _weaknesses(trace: Trace, limits: Limits) -> Iterator[Weakness]:
    size, distinct = trace.batch_size, trace.distinct_samples
    needs = _needs(limits)
    rows = max((each.forward.rows for each in trace.weighted() if each.forward is not None), default=None)
    if rows is not None and (short := tuple(code for code, need in needs if rows < need)):
        most = max(need for _, need in needs)
        yield Weakness(f"no layer sees more than {rows} positions (limit {most:g})", rows, most, "positions", short)
    if size is not None and size < limits.weak_samples:
        words = f"the batch has {size} sample{'s' * (size > 1)} (limit {limits.weak_samples:g})"
        yield Weakness(words, size, limits.weak_samples, "samples", ("SZ507", "SZ901", "SZ902"))
    if size is not None and distinct is not None and distinct < size:
        yield Weakness(f"{distinct} of {size} samples differ, the others repeat them", distinct, size, "samples")
    for fact in trace.inputs:
        if (share := _constant(fact)) > limits.weak_constant:
            words = f"{share:.0%} of the features of {fact.name!r} never change (limit {limits.weak_constant:.0%})"
            yield Weakness(words, share, limits.weak_constant, "share of features")
    if made := tuple(fact.name for fact in trace.inputs if fact.is_stand_in):
        words = f"{enumerated(made)} {'were' if len(made) > 1 else 'was'} made up"
        yield Weakness(words, len(made), 0.0, "inputs", ("SZ901", "SZ902"))


def _needs(limits: Limits) -> tuple[tuple[str, float], ...]:
    """Rules that read positions, with how many they need."""
    return (
        ("SZ303", limits.saturated_min_rows),
        ("SZ305", limits.dead_min_rows),
        ("SZ601", limits.bias_min_rows),
        ("SZ703", limits.gate_min_rows),
        ("SZ901", limits.input_min_samples),
        ("SZ902", limits.target_min_samples),
    )


def _constant(fact: InputFact) -> float:
    """Share of the channels that have one value; 0 where the input as a whole is constant, or of one sample."""
    stds = fact.channel_std.unpack()
    if len(stds) < 2 or fact.low == fact.high or fact.shape[0] < 2:
        return 0.0
    return statistics.fmean(std == 0.0 for std in stds)
