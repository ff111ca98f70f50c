"""SZ601."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.biases import offsets
from stepzero.measure.cells import Candidate, candidates
from stepzero.measure.gates import is_gate, is_in_gating_branch
from stepzero.measure.uses import before, weight_use

_OTHER_USES = frozenset("sin cos sigmoid hardsigmoid logsigmoid softplus".split())
"""Phases of periodic layers; positive maps of a quantity whose value the bias sets (a step size, a probability)."""


@rule("SZ601", "dominant-bias", tier=2, limits=("bias_ratio", "bias_share", "bias_min_rows"))
def dominant_bias(trace: Trace, limits: Limits) -> Verdict:
    """The bias of hidden units is several times larger than what their weights bring.

    What it finds
    -------------
    In front of an activation, units whose bias is more than three times the rms of W x, as measured and as the weights
    bring it for inputs of size 1. Reported when these are more than half of the units of a layer. In a recurrent cell
    the same for the units behind its tanh, with the bias as the sum of both vectors.

    Why it matters
    --------------
    Such a unit gives nearly the same answer for every sample, on a piece of its activation that the bias has chosen:
    flat for tanh, straight or shut for a rectifier.

    When it is fine
    ---------------
    Gates are meant to be held open or shut by their bias (a forget gate at +1), heads carry priors, periodic layers
    need phases, a bias in front of a softplus or sigmoid sets the value of a quantity. Layers whose weights bring
    nothing at all are other rules' matter.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 4))
        nn.init.normal_(model[0].weight, std=0.05)
        nn.init.constant_(model[0].bias, 3.0)
        return model, torch.randn(64, 32)

    expected = ("0.bias",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 4))
        nn.init.constant_(model[2].bias, 3.0)
        return model, torch.randn(64, 32)

    Fix
    ---
    Set the bias to zero; if it spreads kinks or phases on purpose, make it no larger than the response.

    References
    ----------
    LeCun et al. 1998, section 4.6.
    """
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    layers: dict[str, Finding | None] = {}
    for operation in trace.operations:
        if operation.kind == "activation" and not operation.in_loss and operation.name not in _OTHER_USES:
            source = before(trace, operation)
            if source is None or not _is_judged(graph, operation, source, limits):
                continue
            found = offsets(trace, source, facts)
            if found is None or _brings_nothing(source, facts):
                continue
            loud = _share(found.bias, tuple(max(drive, found.by_law) for drive in found.drive), limits)
            finding = _finding(found.parameter, operation, loud, limits) if loud > limits.bias_share else None
            layers[found.parameter] = finding and layers.get(found.parameter, finding)
        for cell in candidates(trace, operation, facts):
            if (loud := _share(cell.bias, cell.drive, limits)) > limits.bias_share:
                layers[cell.parameter] = _finding(cell.parameter, operation, loud, limits, cell)
    yield from filter(None, layers.values())


def _is_judged(graph: Graph, operation: Operation, source: Operation, limits: Limits) -> bool:
    signal = source.forward
    if signal is None or signal.rows < limits.bias_min_rows or signal.samples < 2:
        return False
    return not is_gate(graph, operation.index) and not is_in_gating_branch(graph, operation.index)


def _brings_nothing(source: Operation, facts: dict[str, TensorFact]) -> bool:
    use = weight_use(source)
    return use is not None and use.parameter in facts and facts[use.parameter].is_zero


def _share(bias: tuple[float, ...], drive: tuple[float, ...], limits: Limits) -> float:
    loud = [abs(b) > limits.bias_ratio * d > 0.0 for b, d in zip(bias, drive, strict=True)]
    return sum(loud) / len(loud) if loud else 0.0


def _finding(
    parameter: str, operation: Operation, share: float, limits: Limits, cell: Candidate | None = None
) -> Finding:
    what = f"the cell inputs (tanh) of {operation.name}" if cell else f"the units in front of {operation.name}"
    return Finding(
        code="SZ601",
        name="dominant-bias",
        severity="warning",
        where=(parameter,),
        message=(
            f"{share:.0%} of {what} have a bias more than {limits.bias_ratio:g} times as large as what the weights "
            f"bring; the limit is {limits.bias_share:.0%}"
        ),
        value=share,
        limit=limits.bias_share,
        unit="share of units",
        evidence="value",
        cause="bias-offset",
        fix=Fix("set the bias to zero", parameter=parameter, scheme="zeros", is_safe=True),
        citation="LeCun et al. 1998, section 4.6",
        operation=operation.index,
    )
