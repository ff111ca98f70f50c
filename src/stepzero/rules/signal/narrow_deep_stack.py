"""SZ315."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.segments import Segment, segments
from stepzero.measure.uses import before, units, weight_use

_RECTIFIERS = frozenset(["relu", "leaky_relu", "prelu"])


@rule("SZ315", "narrow-deep-stack", tier=1, limits=("narrow_beta", "narrow_min_layers", "narrow_isometry"))
def narrow_deep_stack(trace: Trace, limits: Limits) -> Verdict:
    """A plain rectified stack is so narrow for its depth that its scale is a matter of luck.

    What it finds
    -------------
    Along a run of rectified layers without a norm or a skip, ln |h|^2 of the last layer varies from one draw to the
    next with variance beta, 5 times the sum of 1 / width (exact for small widths). Reported above 1 in runs of at
    least eight layers.

    Why it matters
    --------------
    At beta = 1 the squared norm of the output varies by a factor e between seeds, at beta = 15 by a factor 50, in
    both directions and in the gradient as well, and its typical value falls below its mean. No scale of the draw
    repairs it: only width, skips, norms or an orthogonal draw do.

    When it is fine
    ---------------
    Norms and skips end a run. Orthogonal draws keep the norm in each layer and are recognised by the gradient, which
    then changes in every layer by the size of its weight and by no chance. Smooth activations and convolutions over
    several positions are not judged, nor are runs of fewer than eight layers.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(50) for layer in (nn.Linear(16, 16), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(16, 4))
        for layer in layers[::2]:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        return model, torch.randn(64, 16)

    expected = ("0.weight", "100.weight")

    Good
    ----
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(50) for layer in (nn.Linear(16, 16), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(16, 4))
        for layer in layers[::2]:
            nn.init.orthogonal_(layer.weight, gain=2**0.5)
            nn.init.zeros_(layer.bias)
        return model, torch.randn(64, 16)

    Fix
    ---
    Draw orthogonally, make the layers wider, or put skips or norms in. Rescaling layer by layer (`calibrate`) only
    removes the drift of this seed.

    References
    ----------
    Hanin & Rolnick 2018; Hanin & Nica 2019.
    """
    for segment in segments(trace):
        inner = segment.operations[:-1]
        if len(inner) < limits.narrow_min_layers or not all(map(_is_plain, inner)):
            continue
        if segment.beta > limits.narrow_beta and not _is_isometric(trace, inner, limits.narrow_isometry):
            yield _finding(segment, limits)


def _is_plain(operation: Operation) -> bool:
    """A rectified layer whose weight has one axis to sum over: no kernel that averages neighbours."""
    use = weight_use(operation)
    return operation.consumer in _RECTIFIERS and use is not None and use.fan_in == math.prod(_summed(operation))


def _summed(operation: Operation) -> tuple[int, ...]:
    use = weight_use(operation)
    axes = zip(use.shape, use.axes, strict=True) if use is not None else ()
    sizes = [size for size, axis in axes if axis == "in"]
    return tuple(sizes) if sum(size > 1 for size in sizes) <= 1 else ()


def _is_isometric(trace: Trace, layers: tuple[Operation, ...], most: float) -> bool:
    """Whether every layer that does not widen sends back its gradient with the factor that is its weight's size.

    Orthonormal rows of norm g, each of n entries with mean square g^2 / n, multiply any gradient by g. Layers may
    differ in g, as calibrated ones do; with independent entries what comes back differs by chance.
    """
    factors, sizes = [], {fact.name: fact.rms for fact in trace.parameters}
    for layer in layers[1:]:
        source = before(trace, layer)
        if source is None or source.backward is None or layer.backward is None or not layer.backward.rms:
            return False
        use, fan_in = weight_use(layer), math.prod(_summed(layer))
        gain = sizes.get(use.parameter, 0.0) * math.sqrt(fan_in) if use is not None else 0.0
        if units(layer) <= fan_in and source.backward.rms and gain:
            size = math.prod(source.shape) / math.prod(layer.shape)
            factors.append(math.log(source.backward.rms / layer.backward.rms * math.sqrt(size) / gain))
    return bool(factors) and max(factors) - min(factors) < most


def _finding(segment: Segment, limits: Limits) -> Finding:
    widths = [units(operation) for operation in segment.operations[:-1]]
    return Finding(
        code="SZ315",
        name="narrow-deep-stack",
        severity="warning",
        where=segment.parameters,
        message=(
            f"{len(widths)} rectified layers of width {min(widths)} to {max(widths)} without a norm or a skip: behind "
            f"them ln |h|^2 has variance {segment.beta:.3g} over draws (limit {limits.narrow_beta:g})"
        ),
        value=segment.beta,
        limit=limits.narrow_beta,
        unit="variance of ln |h|^2",
        evidence="fact",
        fix=Fix("draw orthogonally, widen, or add skips or norms", scheme="orthogonal"),
        citation="Hanin & Rolnick 2018",
        operation=segment.operations[0].index,
    )
