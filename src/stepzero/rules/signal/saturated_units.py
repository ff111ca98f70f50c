"""SZ303."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.activations import flat_share, is_bounded, slope_through
from stepzero.measure.gates import is_gate, is_in_gating_branch, is_last
from stepzero.measure.uses import place_of


@rule(
    "SZ303",
    "saturated-units",
    tier=1,
    limits=(
        "saturated_flat_share",
        "saturated_derivative",
        "saturated_warning",
        "saturated_error",
        "saturated_error_gradient",
        "saturated_min_rows",
    ),
)
def saturated_units(trace: Trace, limits: Limits) -> Verdict:
    """Many units of a bounded activation sit on its flat part.

    What it finds
    -------------
    A unit is saturated when the slope of its activation is below a tenth of the largest slope at more than half of
    the positions (tanh: abs(z) > 1.82). Reported above 20 % of the units of a layer; an error above 50 % when the
    gradient behind the activation is also less than a tenth of the gradient in front of it.

    Why it matters
    --------------
    A flat unit passes almost no gradient: what lies below it learns slowly or not at all, and weight updates of the
    unit itself are small until it drifts back by luck.

    When it is fine
    ---------------
    Gates (results that only multiply another signal), attention weights, squeeze-and-excite and the sigmoid that
    feeds a loss are meant to be flat at times and are left out. Rectifiers are SZ305.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
        nn.init.normal_(model[2].weight, std=3.0)
        return model, torch.randn(64, 32)

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 4))
        return model, torch.randn(64, 32)

    Fix
    ---
    Rescale the layer in front so that its result has standard deviation 1; if the input is raw, standardise it.

    References
    ----------
    LeCun et al. 1998, section 4.6; Glorot & Bengio 2010; ZhihanLee/DDPG_Learning#2.
    """
    graph, worst = Graph(trace), dict[tuple[str, ...], tuple[float, Operation]]()
    for operation in trace.operations:
        if operation.forward is None or not _is_judged(graph, operation, limits):
            continue
        share, place = flat_share(operation.forward, limits.saturated_flat_share), place_of(trace, operation)
        if share > limits.saturated_warning and (place not in worst or share > worst[place][0]):
            worst[place] = share, operation
    for place, (share, operation) in worst.items():
        passed = slope_through(trace, operation)
        is_closed = passed is not None and passed < limits.saturated_error_gradient
        yield _finding(
            place, operation, share, passed if share > limits.saturated_error and is_closed else None, limits
        )


def _is_judged(graph: Graph, operation: Operation, limits: Limits) -> bool:
    signal = operation.forward
    if not is_bounded(operation) or operation.in_loss or signal is None or not len(signal.flat_share):
        return False
    if signal.rows < limits.saturated_min_rows or (operation.name != "tanh" and is_last(graph, operation.index)):
        return False
    return not is_gate(graph, operation.index) and not is_in_gating_branch(graph, operation.index)


def _finding(
    place: tuple[str, ...], operation: Operation, share: float, passed: float | None, limits: Limits
) -> Finding:
    limit = limits.saturated_warning if passed is None else limits.saturated_error
    tail = "" if passed is None else f", and {passed:.1%} of the gradient passes"
    return Finding(
        code="SZ303",
        name="saturated-units",
        severity="warning" if passed is None else "error",
        where=place,
        message=f"{share:.0%} of the units of {operation.name} are saturated, the limit is {limit:.0%}{tail}",
        value=share,
        limit=limit,
        unit="share of units",
        evidence="value" if passed is None else "gradient",
        fix=Fix(
            "rescale so that the input of the activation has standard deviation 1", scheme="calibrate", is_safe=True
        ),
        citation="Glorot & Bengio 2010",
        operation=operation.index,
    )
