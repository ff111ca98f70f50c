"""SZ310."""

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure import zeros
from stepzero.measure.norms import Affine, affines


@rule("SZ310", "norm-off-identity", tier=1, limits=("norm_gain", "norm_shift", "norm_min_units"))
def norm_off_identity(trace: Trace, limits: Limits) -> Verdict:
    """The gain or the shift of a normalisation is not neutral.

    What it finds
    -------------
    A normalisation brings every unit to mean 0 and size 1; its gain should leave that as it is, and its shift should
    be 0. Reported: a gain whose rms is more than a factor 2 away from 1, a gain with random signs, a shift larger
    than the gain, a running variance of 0. An error when the gain is 0 on the main path and nothing in front of it
    gets a gradient, and when gain and shift are exchanged so that the result is the same for every sample.

    Why it matters
    --------------
    A gain of 0 makes the result the same for all samples; with a rectifier behind it even its own gradient is zero,
    and what lies before it never trains. A gain drawn like a weight, N(0, 0.02), shrinks the signal by 50.

    When it is fine
    ---------------
    A gain of 0, or a small one, on the last norm of a residual branch starts the branch as the identity. A gain that
    is stored as an offset from 1 and starts at 0 is neutral. Gains spread around 1 are ordinary.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.zeros_(model[1].weight)
        return model, torch.randn(64, 32)

    expected = ("1.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.BatchNorm1d(64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.normal_(model[1].weight, 1.0, 0.02)
        return model, torch.randn(64, 32)

    Fix
    ---
    Set the gain to 1 and the shift to 0.

    References
    ----------
    Ioffe & Szegedy 2015; Goyal et al. 2017; google/objax#94; huggingface/transformers#171.
    """
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    said: set[str] = set()
    for affine in affines(trace):
        gain = facts.get(affine.gain.parameter) if affine.gain is not None else None
        shift = facts.get(affine.shift.parameter) if affine.shift is not None else None
        for fact, words, severity in _faults(graph, affine, gain, shift, limits):
            if fact.name not in said:
                said.add(fact.name)
                yield _finding(affine.operation, fact, words, severity)
    yield from _running(trace)


def _faults(
    graph: Graph, affine: Affine, gain: TensorFact | None, shift: TensorFact | None, limits: Limits
) -> list[tuple[TensorFact, str, Severity]]:
    is_stuck = gain is not None and gain.is_zero and not zeros.is_live(gain) and zeros.is_shut(graph, affine.operation)
    if not is_stuck and zeros.met(graph, affine.operation) in zeros.STARTS_SMALL:
        return []
    if gain is not None and (words := _gain_fault(gain, limits)):
        return [(gain, *_judged(affine.operation, gain, shift, words, is_stuck=is_stuck))]
    size = gain.rms if gain is not None else 1.0
    if shift is not None and shift.rms > limits.norm_shift * max(size, 1.0):
        words = f"the shift has rms {shift.rms:.3g} behind a gain of {size:.3g}, the limit is the larger of it and 1"
        return [(shift, words, "warning")]
    return []


def _gain_fault(gain: TensorFact, limits: Limits) -> str:
    """Words for a gain that is not neutral; empty for one that is."""
    if gain.is_zero:
        return "the gain of this norm is 0 and its result is the same for every sample"
    factor = max(gain.rms, 1 / gain.rms)
    if factor > limits.norm_gain:
        away = f"a factor {factor:.3g} away from 1 (limit {limits.norm_gain:g})"
        return f"the gain of this norm has rms {gain.rms:.3g}, {away}"
    if gain.numel >= limits.norm_min_units and abs(gain.mean) < gain.std and gain.low < 0 < gain.high:
        return f"the gain of this norm has random signs: mean {gain.mean:.2g}, standard deviation {gain.std:.2g}"
    return ""


def _judged(
    operation: Operation, gain: TensorFact, shift: TensorFact | None, words: str, *, is_stuck: bool
) -> tuple[str, Severity]:
    if not gain.is_zero:
        return words, "warning"
    if shift is not None and shift.is_constant and shift.low == 1.0:
        return f"gain and shift of this norm are exchanged: 0 and 1, so {operation.name} returns 1 always", "error"
    if is_stuck:
        return f"{words}: the activation behind it is shut, and no gradient passes in either direction", "error"
    return f"{words}: nothing in front of it gets a gradient at the first step", "warning"


def _running(trace: Trace) -> Verdict:
    """Running variances of zero, which evaluation divides by."""
    norms = {operation.module: operation for operation in trace.operations if operation.kind == "norm"}
    for fact in trace.buffers:
        operation = norms.get(fact.module)
        if operation is not None and fact.name.endswith("running_var") and fact.is_zero:
            words = "the running variance of this norm is 0, and evaluation divides by its root (neutral: 1)"
            yield _finding(operation, fact, words, "warning")


def _finding(operation: Operation, fact: TensorFact, words: str, severity: Severity) -> Finding:
    return Finding(
        code="SZ310",
        name="norm-off-identity",
        severity=severity,
        where=(fact.name,),
        message=words,
        value=fact.rms,
        limit=1.0,
        unit="rms",
        evidence="gradient" if severity == "error" else "value",
        cause="zero-on-main-path" if fact.is_zero else "wrong-gain",
        fix=Fix("set the gain to 1 and the shift to 0", parameter=fact.name, scheme="identity", is_safe=True),
        citation="Ioffe & Szegedy 2015",
        operation=operation.index,
    )
