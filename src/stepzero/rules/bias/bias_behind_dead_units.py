"""SZ602."""

from typing import NamedTuple

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.activations import is_bounded
from stepzero.measure.biases import Offsets, offsets
from stepzero.measure.gates import is_gate, is_in_gating_branch
from stepzero.measure.uses import before


class Shut(NamedTuple):
    """Units of one activation that only their bias keeps off."""

    operation: Operation
    offsets: Offsets
    units: tuple[int, ...]

    @property
    def share(self) -> float:
        """Of all units of the layer."""
        return len(self.units) / len(self.offsets.bias)


@rule("SZ602", "bias-behind-dead-units", tier=2, limits=("dead_warning", "dead_error", "dead_min_rows", "bias_revives"))
def bias_behind_dead_units(trace: Trace, limits: Limits) -> Verdict:
    """Units of a rectifier are off for the whole batch, and only because of their bias.

    What it finds
    -------------
    Units whose slope is zero at every position (SZ305), whose bias is negative, and whose response without the bias
    would reach above zero at a good part of the positions: its mean lies above minus one standard deviation. The bias
    must also be larger than what the weights bring for inputs of size 1: where the signal has faded before, that is
    the fault. A warning above 10 % of the units of a layer, an error above 50 % or when the whole layer is off.

    Why it matters
    --------------
    A dead unit passes no gradient, so its bias cannot move back either. A prior such as -4.6 belongs into the layer
    in front of the loss; a bias drawn with a spread of its own, whatever the signal is, shuts narrow layers by bad
    luck.

    When it is fine
    ---------------
    Biases of the last layer, of gates and of squeeze-and-excite bottlenecks are left out, as are parts that saw fewer
    than 32 positions.

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
        model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        nn.init.constant_(model[4].bias, -4.6)
        return model, torch.randn(64, 32)

    Fix
    ---
    Set the bias to zero.

    References
    ----------
    facebookresearch/dlrm#358.
    """
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    layers: dict[str, Shut] = {}
    for operation in trace.operations:
        if (shut := _shut(trace, operation, facts, limits)) is None or _is_gating(graph, operation):
            continue
        name = shut.offsets.parameter
        if shut.share <= layers.get(name, shut).share:  # a layer called twice is shut where it is shut both times
            layers[name] = shut
    yield from (_finding(shut, limits) for shut in layers.values() if shut.share > limits.dead_warning)


def _shut(trace: Trace, operation: Operation, facts: dict[str, TensorFact], limits: Limits) -> Shut | None:
    signal, source = operation.forward, before(trace, operation)
    if operation.kind != "activation" or operation.in_loss or signal is None or source is None:
        return None
    if is_bounded(operation):  # saturated, not shut: SZ303
        return None
    if signal.rows < limits.dead_min_rows or signal.samples < 2:
        return None
    found = offsets(trace, source, facts)
    if found is None or len(signal.off_share) != len(found.bias):
        return None
    off = signal.off_share.unpack()
    units = tuple(unit for unit, share in enumerate(off) if share >= 1.0 and _revives(found, unit, limits.bias_revives))
    return Shut(operation, found, units)


def _revives(found: Offsets, unit: int, deviations: float) -> bool:
    is_large = -found.bias[unit] > found.by_law
    return is_large and found.spread[unit] > 0.0 and found.mean[unit] > -deviations * found.spread[unit]


def _is_gating(graph: Graph, operation: Operation) -> bool:
    return is_gate(graph, operation.index) or is_in_gating_branch(graph, operation.index)


def _finding(shut: Shut, limits: Limits) -> Finding:
    is_error = shut.share == 1.0 or shut.share > limits.dead_error
    worst = min(shut.units, key=lambda unit: shut.offsets.bias[unit])
    count = f"{len(shut.units):,} of {len(shut.offsets.bias):,} units of {shut.operation.name}"
    drive = shut.offsets.drive[worst]
    return Finding(
        code="SZ602",
        name="bias-behind-dead-units",
        severity="error" if is_error else "warning",
        where=(shut.offsets.parameter,),
        message=(
            f"{count} are off at every position because of their bias alone, down to {shut.offsets.bias[worst]:.3g} "
            f"against {drive:.3g} from the weights; the limit is {limits.dead_warning:.0%}"
        ),
        value=shut.share,
        limit=limits.dead_warning,
        unit="share of units",
        evidence="gradient",
        cause="bias-offset",
        fix=Fix("set the bias to zero", parameter=shut.offsets.parameter, scheme="zeros", is_safe=True),
        citation="facebookresearch/dlrm#358",
        operation=shut.operation.index,
    )
