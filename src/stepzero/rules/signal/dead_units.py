"""SZ305."""

import math
from typing import NamedTuple

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Operation, Signal, Trace
from stepzero.measure.activations import is_bounded, off_share, on_share
from stepzero.measure.gates import is_gate, is_in_gating_branch
from stepzero.measure.uses import place_of


class Dead(NamedTuple):
    """How many units of one layer are off, and how many chance allows."""

    operation: Operation
    signal: Signal
    share: float
    expected: float
    limit: float


@rule(
    "SZ305",
    "dead-units",
    tier=1,
    limits=("dead_warning", "dead_error", "dead_min_rows", "dead_expected", "dead_deviations"),
)
def dead_units(trace: Trace, limits: Limits) -> Verdict:
    """Units of a rectifier are off at every position of the batch.

    What it finds
    -------------
    A unit is dead when the slope of its activation is exactly zero at every position read (at least 32 of them, from
    at least two samples). The share of dead units of a layer is compared with what chance explains: 10 %, or the
    share of units that are *on* at every position, because weights are as likely as their negatives. A warning 10
    points and four standard deviations above that, an error 50 points above it or when the whole layer is dead.

    Why it matters
    --------------
    A dead unit passes no gradient, so its own weights cannot move it back. When a whole layer is dead, everything
    below it is cut off from the loss.

    When it is fine
    ---------------
    Gates, squeeze-and-excite bottlenecks and parts that saw fewer than 32 positions (experts, sub-networks that the
    batch did not select) are not judged. A handful of dead units in a wide layer is ordinary.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.constant_(model[2].bias, -4.6)
        return model, torch.randn(64, 32)

    expected = ("2.bias",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
        nn.init.constant_(model[4].bias, -4.6)
        return model, torch.randn(64, 32)

    Fix
    ---
    Set the bias in front to zero and draw the weight by law. At an output use a softplus instead of a rectifier.

    References
    ----------
    facebookresearch/dlrm#358; munshisanowarraihan/nerf-meta#3; ProteomicsML/ProteomicsML#203.
    """
    graph, layers, small = Graph(trace), dict[tuple[str, ...], Dead](), 0
    for operation in trace.operations:
        if (dead := _dead(operation, limits)) is None or _is_gating(graph, operation):
            continue
        if dead.signal.rows < limits.dead_min_rows or dead.signal.samples < 2:
            small += dead.share > 0.0
            continue
        place = place_of(trace, operation)
        if dead.share <= layers.get(place, dead).share:  # a layer called twice is dead where it is dead both times
            layers[place] = dead
    for place, dead in layers.items():
        if dead.share > dead.limit or dead.share == 1.0:
            yield _finding(place, dead, limits)
    if small:
        least = limits.dead_min_rows
        yield NotJudged(
            f"{small} rectified layers have units that are off, but fewer than {least:g} positions were seen"
        )


def _dead(operation: Operation, limits: Limits) -> Dead | None:
    signal = operation.forward
    if signal is None or not len(signal.off_share) or is_bounded(operation) or operation.in_loss:
        return None
    off, on = off_share(signal), on_share(signal)
    expected = max(limits.dead_expected, on)
    scatter = limits.dead_deviations * math.sqrt((off + on) / signal.units)
    return Dead(operation, signal, off, expected, max(expected + limits.dead_warning, on + scatter))


def _is_gating(graph: Graph, operation: Operation) -> bool:
    return is_gate(graph, operation.index) or is_in_gating_branch(graph, operation.index)


def _finding(place: tuple[str, ...], dead: Dead, limits: Limits) -> Finding:
    is_error = dead.share == 1.0 or dead.share > max(dead.limit, dead.expected + limits.dead_error)
    limit = min(1.0, dead.expected + limits.dead_error) if is_error else dead.limit
    count = f"{round(dead.share * dead.signal.units):,} of {dead.signal.units:,} units"
    return Finding(
        code="SZ305",
        name="dead-units",
        severity="error" if is_error else "warning",
        where=place,
        message=(
            f"{count} of {dead.operation.name} are off at all {dead.signal.rows} positions; "
            f"chance explains {dead.expected:.0%}, the limit is {limit:.0%} and never the whole layer"
        ),
        value=dead.share,
        limit=limit,
        unit="share of units",
        evidence="gradient",
        fix=Fix("zero the bias and redraw the weight", scheme="law", is_safe=True),
        citation="facebookresearch/dlrm#358",
        operation=dead.operation.index,
    )
