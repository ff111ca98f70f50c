"""SZ304."""

import math
from statistics import median, median_high

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.constancy import is_constant
from stepzero.measure.gates import is_gate, is_in_gating_branch, is_last
from stepzero.measure.routing import is_ranked
from stepzero.measure.uses import before, feeding

_LIMITS = (
    "linear_unexplained",
    "linear_share",
    "linear_min_layers",
    "linear_min_rows",
    "linear_gradient",
    "equality_roundoffs",
)
_OFFSETS = ("bias", "shift")
_Layers = dict[tuple[str, ...], float]
"""By the weights in front of it: what no line explains of an activation."""


@rule("SZ304", "linear-start", tier=2, status="preview", needs=("control",), limits=_LIMITS)
def linear_start(trace: Trace, limits: Limits) -> Verdict:
    """Most activations are straight lines where their inputs lie.

    What it finds
    -------------
    For each activation that is curved somewhere other than at zero (tanh, sigmoid, GELU ...), the share of the variance
    of its result that the best line in its input leaves unexplained, by quadrature over Gaussian inputs with each
    unit's own mean and deviation. Reported once, when that share is below a ten-thousandth in more than half of at
    least two layers.

    Why it matters
    --------------
    A stack of lines is one line: the network starts as a linear map of its input. A note, since a start close to the
    linear range is what is asked for, and the first steps bend it; a warning when the weights in front receive less
    than a tenth of the gradient of a draw by law.

    When it is fine
    ---------------
    Rectifiers bend at any scale and are not asked. Gates, scores of experts, what no weight follows (a last sigmoid or
    tanh), inputs that do not vary and fewer than eight positions are left out.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
        for layer in (model[0], model[2]):
            nn.init.normal_(layer.weight, std=1e-3)
            nn.init.zeros_(layer.bias)
        return model, torch.randn(64, 32)

    expected = ("0.weight", "2.weight")

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
        for layer in (model[0], model[2]):
            nn.init.xavier_normal_(layer.weight, gain=5 / 3)
            nn.init.zeros_(layer.bias)
        return model, torch.randn(64, 32)

    Fix
    ---
    Raise the gain of the weights in front of the activations, so that their inputs have a deviation of about 1.

    References
    ----------
    LeCun et al. 1998, section 4.6.
    """
    layers = _layers(trace, limits)
    lines = {place: share for place, share in layers.items() if share < limits.linear_unexplained}
    if len(layers) < limits.linear_min_layers or len(lines) <= limits.linear_share * len(layers):
        return
    ratio = _gradient_ratio(trace, _weights(lines))
    is_faint = ratio is not None and ratio < limits.linear_gradient
    yield _finding(layers, lines, ratio if is_faint else None, limits)


def _finding(layers: _Layers, lines: _Layers, ratio: float | None, limits: Limits) -> Finding:
    where, typical = _weights(lines), median_high(layers.values())
    names = f"{where[0]} to {where[-1]}" if len(where) > 1 else where[0]
    tail = (
        ""
        if ratio is None
        else (f", and their weights receive {ratio:.2g} of the gradient by law, limit {limits.linear_gradient:g}")
    )
    return Finding(
        code="SZ304",
        name="linear-start",
        severity="info" if ratio is None else "warning",
        where=where,
        message=(
            f"{len(lines)} of {len(layers)} activations, behind {names}, are straight lines: of their variance the "
            f"best line leaves {typical:.2g} in the median layer, the limit is {limits.linear_unexplained:g}{tail}"
        ),
        value=typical,
        limit=limits.linear_unexplained,
        unit="share of the variance",
        evidence="value" if ratio is None else "control",
        cause="wrong-gain",
        fix=Fix("raise the gain of the weights in front of the activations to their law", where[0], "law"),
        citation="LeCun et al. 1998, section 4.6",
    )


def _weights(places: _Layers) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for place in places for name in place))


def _layers(trace: Trace, limits: Limits) -> _Layers:
    """What no line explains behind each set of weights; of several calls the most, since one bend is enough."""
    graph, offsets = Graph(trace), _offsets(trace)
    found: _Layers = {}
    for operation in trace.operations:
        if operation.unexplained is None or not _is_judged(graph, operation, limits):
            continue
        place = tuple(name for name in feeding(trace, operation) if name not in offsets)
        if place:
            found[place] = max(operation.unexplained, found.get(place, 0.0))
    return found


def _is_judged(graph: Graph, operation: Operation, limits: Limits) -> bool:
    source = before(graph.trace, operation)
    if source is None or source.forward is None or source.forward.rows < limits.linear_min_rows:
        return False
    if is_constant(source, limits.equality_roundoffs) or is_last(graph, operation.index):
        return False
    if is_ranked(graph, operation.index):  # scores of experts
        return False
    return not is_gate(graph, operation.index) and not is_in_gating_branch(graph, operation.index)


def _offsets(trace: Trace) -> frozenset[str]:
    return frozenset(use.parameter for operation in trace.operations for use in operation.uses if use.slot in _OFFSETS)


def _gradient_ratio(trace: Trace, names: tuple[str, ...]) -> float | None:
    """Median over the weights of the gradient's norm over that of the draws; None when the control has none."""
    if not trace.control.ran:
        return None
    ratios = list[float]()
    for index, fact in enumerate(trace.parameters):
        drawn = trace.control.gradient(index) if fact.name in names else None
        if drawn is not None and fact.gradient is not None and math.isfinite(drawn.median):
            ratios.append(drawn.ratio(fact.gradient.norm))
    known = [ratio for ratio in ratios if math.isfinite(ratio)]
    return median(known) if known else None
