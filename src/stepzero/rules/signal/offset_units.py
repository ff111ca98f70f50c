"""SZ306."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.constancy import is_constant
from stepzero.measure.gates import is_gate, is_in_gating_branch
from stepzero.measure.uses import before, place_of, weight_use

_LIMITS = ("offset_share", "offset_control", "offset_min_samples", "offset_min_units", "equality_roundoffs")
_OTHER_USES = frozenset(["sin", "cos", "exp", "softplus"])
"""Phases, and positive quantities whose size the offset sets."""


@rule("SZ306", "offset-units", tier=2, status="preview", needs=("control",), limits=_LIMITS)
def offset_units(trace: Trace, limits: Limits) -> Verdict:
    """The units in front of an activation hardly vary beside their mean.

    What it finds
    -------------
    Units whose mean is more than three times their standard deviation over the batch, in layers that an activation
    reads. Reported when most units of a layer are so and at most a quarter are when the model is drawn by law.

    Why it matters
    --------------
    The activation sees one point of its curve: it is a line, or off, for every input alike, and the gradients of all
    samples push the unit in one direction.

    When it is fine
    ---------------
    What the batch or the depth does, it does to the drawn networks as well (raw inputs are SZ901). Gates, phases and
    layers in front of a norm are left out; fewer than eight batch entries are not judged.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
        nn.init.uniform_(model[2].weight, 0.0, 0.1)
        nn.init.constant_(model[2].bias, 2.0)
        return model, torch.randn(64, 32)

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
        nn.init.uniform_(model[2].weight, -0.1, 0.1)
        nn.init.zeros_(model[2].bias)
        return model, torch.randn(64, 32)

    Fix
    ---
    Draw the weights around zero and set the bias to zero, or to minus the mean response of a batch.

    References
    ----------
    LeCun et al. 1998, section 4.3.
    """
    if not trace.control.ran:
        if trace.control.reason:
            yield NotJudged(f"no drawn network to compare with: {trace.control.reason}")
        return
    graph, seen = Graph(trace), set[str]()
    for operation in trace.weighted():
        use = weight_use(operation)
        if use is None or use.parameter in seen or not _is_judged(graph, operation, limits):
            continue
        own = trace.control.own_at("offset", operation.index)
        drawn = trace.control.at("offset", operation.index)
        if own is None or drawn is None or own <= limits.offset_share or drawn.high > limits.offset_control:
            continue
        source = before(trace, operation)
        if source is not None and (trace.control.own_at("offset", source.index) or 0.0) > limits.offset_share:
            continue  # a constant handed on
        seen.add(use.parameter)
        yield Finding(
            code="SZ306",
            name="offset-units",
            severity="info",  # no training run has shown the harm yet (catalogue, section 10)
            where=tuple(dict.fromkeys((use.parameter, *place_of(trace, operation)))),
            message=(
                f"{own:.0%} of the units of {use.parameter} have a mean beyond three deviations of their responses, "
                f"{drawn.median:.0%} when drawn by law; the limit is {limits.offset_share:.0%}"
            ),
            value=own,
            limit=limits.offset_share,
            unit="share of units",
            evidence="control",
            cause="bias-offset",
            fix=Fix("centre the responses: weights around zero, bias zero", use.parameter, "law", is_safe=True),
            citation="LeCun et al. 1998, section 4.3",
            operation=operation.index,
        )


def _is_judged(graph: Graph, operation: Operation, limits: Limits) -> bool:
    signal, index = operation.forward, operation.consumer_index
    reader = graph.trace.operations[index] if index is not None else None
    if signal is None or signal.samples < limits.offset_min_samples or reader is None or reader.kind != "activation":
        return False
    if reader.name in _OTHER_USES or reader.in_loss or signal.units < limits.offset_min_units:
        return False
    if is_constant(operation, limits.equality_roundoffs):  # told as such, by SZ206 and SZ507
        return False
    return not is_gate(graph, reader.index) and not is_in_gating_branch(graph, reader.index)
