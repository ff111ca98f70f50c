"""SZ302."""

import itertools
import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.laws import Ratio, ratios
from stepzero.measure.segments import Segment, segments, stream_path, varied_rms
from stepzero.measure.uses import before


@rule(
    "SZ302",
    "off-law-scale",
    tier=1,
    limits=("law_factor", "law_range", "law_short_range", "law_trace", "law_min_layers"),
)
def off_law_scale(trace: Trace, limits: Limits) -> Verdict:
    """The weights of a plain stack are drawn larger or smaller than their law, and the factors multiply up.

    What it finds
    -------------
    For each layer of a run without norms, skips and gates, the ratio of the standard deviation of its weight to
    gain / sqrt(true fan in), the gain being that of the activation behind it. A warning when the product of the
    ratios along the run is more than 100 away from 1; the layers named are those that are off by more than a factor
    2, beyond what the sample can tell. A note when single layers in front of the loss are off by more than that.
    Two layers in a row below a millionth of their law are a warning wherever they are: each multiplies the gradient
    of the other, as two zeros would. Along a residual stream without norms, the same for the layers on its loudest way
    to the head, when they are too small by that product and the signal that reaches the head is a hundred times
    fainter as well.

    Why it matters
    --------------
    Scale errors multiply: with the framework's default draw (a third of the variance 1/n) each rectified layer keeps
    0.41 of the signal. Weights alone prove no harm, so this is a warning unless a drift of the signal or the
    gradient follows from it.

    When it is fine
    ---------------
    Layers in front of a norm, a softmax or a gate lose their scale there. A small head and a small residual branch
    are careful starts, and fewer than four layers too small are repaired by the first steps, unless their product is
    below 1/1000 or next to nothing is left of two of them. Weights below the law of unit signals keep a smaller one,
    in which an odd activation is nearly linear: as long as what differs between samples does not fade along the run
    by more than a factor 2, that is no warning. Constant factors in the forward pass (muP, NTK), periodic
    activations, identity and sparse draws follow laws of their own. Frozen weights are not judged.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(64, 4))
        for layer in model[::2]:
            nn.init.normal_(layer.weight, std=0.02)
        return model, torch.randn(64, 64)

    expected = ("0.weight", "18.weight")

    Good
    ----
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(64, 4))
        for layer in model[::2]:
            nn.init.kaiming_normal_(layer.weight)
        return model, torch.randn(64, 64)

    Fix
    ---
    Draw each weight with standard deviation gain / sqrt(fan in).

    References
    ----------
    LeCun et al. 1998; Glorot & Bengio 2010; He et al. 2015.
    """
    graph, facts, loud = Graph(trace), {fact.name: fact for fact in trace.parameters}, set[str]()
    for segment in segments(trace):
        found = ratios(graph, segment, facts)
        total = sum(math.log(ratio.value) for ratio in found)
        off = [ratio for ratio in found if ratio.is_beyond(limits.law_factor) and (ratio.value > 1) == (total > 0)]
        is_felt = total > 0 or _can_fade(segment, found, total, limits) or _is_lost(found, limits)
        is_loud = abs(total) > math.log(limits.law_range) and is_felt
        if off and (is_loud or _is_plain(segment, limits)):
            loud.update(segment.parameters if is_loud else ())
            yield _finding(off, total, len(found), limits, is_loud=is_loud)
    path = stream_path(trace)
    if path is not None and not loud.intersection(path.parameters) and _fades(trace, path, limits):
        yield from _of_stream(ratios(graph, path, facts), limits)


def _of_stream(found: tuple[Ratio, ...], limits: Limits) -> Verdict:
    total = sum(math.log(ratio.value) for ratio in found)
    off = [ratio for ratio in found if ratio.is_beyond(limits.law_factor) and ratio.value < 1]
    if off and total < -math.log(limits.law_range):
        yield _finding(off, total, len(found), limits, is_loud=True)


def _can_fade(segment: Segment, found: tuple[Ratio, ...], total: float, limits: Limits) -> bool:
    """Whether a small scale is felt: over several layers, and not at the end of a branch that starts as no change."""
    small = sum(ratio.value < 1 for ratio in found)  # a head drawn a little large is not one of them
    is_long = small >= limits.law_min_layers or (small > 1 and total < -math.log(limits.law_short_range))
    return is_long and segment.operations[-1].consumer != "residual" and not _is_steady(segment, limits)


def _is_steady(segment: Segment, limits: Limits) -> bool:
    """Whether what differs between samples keeps its size in every layer, weights as small as they are."""
    read = varied_rms(0.0)
    sizes = [read(operation) for operation in segment.operations if operation.role != "head"]
    known = [size for size in sizes if size is not None]
    return 1 < len(sizes) == len(known) and 0.0 < known[0] <= limits.law_factor * min(known)


def _is_lost(found: tuple[Ratio, ...], limits: Limits) -> bool:
    """Whether two layers in a row are so small that neither lets a gradient through to the other."""
    return any(max(one.value, other.value) < limits.law_trace for one, other in itertools.pairwise(found))


def _fades(trace: Trace, path: Segment, limits: Limits) -> bool:
    """Whether what reaches the head is fainter than what the first layer reads, by more than laws explain."""
    first, last = before(trace, path.operations[0]), before(trace, path.operations[-1])
    if len(path.operations) < limits.law_min_layers or first is None or last is None:
        return False
    if first.forward is None or last.forward is None:
        return False
    return 0.0 < last.forward.rms * limits.law_range < first.forward.rms


def _is_plain(segment: Segment, limits: Limits) -> bool:
    """A stack that ends in front of the loss; elsewhere a norm or a skip takes care of single factors."""
    return len(segment.operations) >= limits.law_min_layers and segment.operations[-1].role == "head"


def _finding(off: list[Ratio], total: float, layers: int, limits: Limits, *, is_loud: bool) -> Finding:
    worst = max(off, key=lambda ratio: abs(math.log(ratio.value)))
    product = math.exp(max(-700.0, min(700.0, total)))
    return Finding(
        code="SZ302",
        name="off-law-scale",
        severity="warning" if is_loud else "info",
        where=tuple(dict.fromkeys(ratio.fact.name for ratio in off)),
        message=(
            f"weights are off their law by a factor {product:.3g} along {layers} layers (limit {limits.law_range:g} "
            f"either way), most in {worst.fact.name}: standard deviation {worst.std:.3g} for {worst.law:.3g}"
        ),
        value=product,
        limit=limits.law_range,
        unit="ratio",
        evidence="value",
        cause="wrong-gain",
        fix=Fix(
            "redraw with standard deviation gain / sqrt(fan in)",
            parameter=worst.fact.name,
            scheme="law",
            arguments={"std": worst.law},
            is_safe=True,
        ),
        citation="He et al. 2015",
        operation=off[0].operation.index,
    )
