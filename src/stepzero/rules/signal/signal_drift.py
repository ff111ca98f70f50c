"""SZ301."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.roundoff import unit_roundoff
from stepzero.measure.segments import Drift, Segment, drift, gradient_norm, segments, signal_rms, varied_rms
from stepzero.measure.updates import extreme_updates


@rule(
    "SZ301",
    "signal-drift",
    tier=1,
    limits=(
        "drift_slope",
        "drift_range",
        "drift_varied_range",
        "drift_error_range",
        "drift_gradient",
        "drift_min_layers",
        "equality_roundoffs",
        "gradient_error_update",
        "gradient_error_update_high",
        "gradient_reference_lr",
    ),
)
def signal_drift(trace: Trace, limits: Limits) -> Verdict:
    """The signal grows or shrinks by a constant factor a layer along a plain stack.

    What it finds
    -------------
    Along each run of weighted layers with no norm, softmax, skip or gate between them, a robust line is put through
    the logarithm of the rms of the responses. Reported when it changes by more than a factor 1.25 a layer, by more
    than 100 in all, and by more than finite width does by chance. The same for the part of the response that differs
    from sample to sample, with 1,000: biases can keep the rms up while the samples become one.

    Why it matters
    --------------
    Weights multiply, so a small error in scale is an exponential one in depth. A plain ReLU stack with torch's
    default draw keeps 0.41 of its signal a layer: after 20 layers the output no longer depends on the input. An
    error when the gradient along the run drifts by more than 100 as well and its updates are out of all bounds.

    When it is fine
    ---------------
    Norms, skips and gates restart the count, so residual networks and transformers are silent, as are runs of fewer
    than four layers and narrow stacks whose drift is within what the draw does by chance.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(64, 4)), torch.randn(64, 64)

    expected = ("0.weight", "40.weight")

    Good
    ----
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(20) for layer in (nn.Linear(64, 64), nn.ReLU())]
        model = nn.Sequential(*layers, nn.Linear(64, 4))
        for layer in layers[::2]:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        return model, torch.randn(64, 64)

    Fix
    ---
    Draw every layer by its law (gain of the activation over the square root of the fan in), or rescale layer by
    layer to unit response (`calibrate`). A norm or a skip also ends the drift.

    References
    ----------
    He et al. 2015; kuangliu/pytorch-cifar#28; young-geng/EasyLM#114.
    """
    floor = (limits.equality_roundoffs * unit_roundoff("float32")) ** 2
    differing = "the part of the signal that differs between samples"
    for segment in segments(trace):
        raw = drift(segment, signal_rms, least=limits.drift_min_layers)
        varied = drift(segment, varied_rms(floor), least=limits.drift_min_layers)
        if raw is not None and raw.exceeds(limits.drift_slope, limits.drift_range):
            yield _finding(trace, segment, raw, "the signal", limits.drift_range, limits)
        elif varied is not None and varied.exceeds(limits.drift_slope, limits.drift_varied_range):
            yield _finding(trace, segment, varied, differing, limits.drift_varied_range, limits)


def _has_gradient_evidence(trace: Trace, segment: Segment, limits: Limits) -> bool:
    """The gradient drifts too, and the first step leaves a weight as it is or rewrites it."""
    line = drift(segment, gradient_norm, least=limits.drift_min_layers)
    updates = extreme_updates(trace, segment.parameters, limits.gradient_reference_lr)
    if line is None or updates is None or line.range <= limits.drift_gradient:
        return False
    return updates[0] < limits.gradient_error_update or updates[1] > limits.gradient_error_update_high


def _finding(trace: Trace, segment: Segment, line: Drift, what: str, most: float, limits: Limits) -> Finding:
    is_error = line.range > limits.drift_error_range and _has_gradient_evidence(trace, segment, limits)
    return Finding(
        code="SZ301",
        name="signal-drift",
        severity="error" if is_error else "warning",
        where=segment.parameters,
        message=f"{what} {line.words}; the limit is {most:,g}",
        value=line.range,
        limit=most,
        unit="ratio",
        evidence="gradient" if is_error else "value",
        fix=Fix("rescale each layer to unit response", scheme="calibrate", is_safe=True),
        citation="He et al. 2015",
        operation=segment.operations[0].index,
    )
