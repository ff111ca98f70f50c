"""SZ401."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.segments import Drift, Segment, drift, gradient_norm, segments
from stepzero.measure.updates import extreme_updates


@rule(
    "SZ401",
    "gradient-drift",
    tier=1,
    limits=(
        "drift_slope",
        "drift_min_layers",
        "gradient_range",
        "gradient_error_range",
        "gradient_error_update",
        "gradient_reference_lr",
    ),
)
def gradient_drift(trace: Trace, limits: Limits) -> Verdict:
    """The gradient grows or shrinks by a constant factor a layer along a plain stack.

    What it finds
    -------------
    Along each run of weighted layers with no norm, softmax, skip or gate between them, a robust line is put through
    the logarithm of the norm of the gradient at each layer's response. Reported when it changes by more than a
    factor 1.25 a layer, by more than 1,000 in all, and by more than finite width does by chance. The norm and not
    the rms: weights drawn by fan in keep it whatever the widths, strides and pools are.

    Why it matters
    --------------
    The layers at one end stand still while those at the other are rewritten. An error when the drift is above 10,000
    and the first step of plain gradient descent moves some weight by less than a millionth of its size.

    When it is fine
    ---------------
    Norms, skips and gates restart the count. Runs in which a zero start blocks the gradient are judged when they
    wake. Adaptive optimizers hide a moderate drift, which is why it is a warning.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.Sigmoid())]
        model = nn.Sequential(*layers, nn.Linear(64, 4))
        for layer in layers[::2]:
            nn.init.xavier_normal_(layer.weight)
        return model, torch.randn(64, 64)

    expected = ("0.weight", "20.weight")

    Good
    ----
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(10) for layer in (nn.Linear(64, 64), nn.Tanh())]
        model = nn.Sequential(*layers, nn.Linear(64, 4))
        for layer in layers[::2]:
            nn.init.xavier_normal_(layer.weight, gain=nn.init.calculate_gain("tanh"))
        return model, torch.randn(64, 64)

    Fix
    ---
    Draw every layer by its law, or rescale layer by layer (`calibrate`). Where the activation itself shrinks the
    gradient (sigmoid: a factor 6.5 in variance a layer) use another one, a norm or a skip.

    References
    ----------
    Glorot & Bengio 2010; Schoenholz et al. 2017; microsoft/LoRA#167.
    """
    for segment in segments(trace):
        line = drift(segment, gradient_norm, least=limits.drift_min_layers)
        if line is not None and line.exceeds(limits.drift_slope, limits.gradient_range):
            yield _finding(trace, segment, line, limits)


def _finding(trace: Trace, segment: Segment, line: Drift, limits: Limits) -> Finding:
    updates = extreme_updates(trace, segment.parameters, limits.gradient_reference_lr)
    stands_still = updates is not None and updates[0] < limits.gradient_error_update
    is_error = line.range > limits.gradient_error_range and stands_still
    limit = limits.gradient_error_range if is_error else limits.gradient_range
    least = f", and some weight moves by {updates[0]:.1g} of its size" if is_error and updates else ""
    return Finding(
        code="SZ401",
        name="gradient-drift",
        severity="error" if is_error else "warning",
        where=segment.parameters,
        message=f"the gradient {line.words}; the limit is {limit:,g}{least}",
        value=line.range,
        limit=limit,
        unit="ratio",
        evidence="gradient",
        fix=Fix("draw by law, or rescale each layer to unit response", scheme="calibrate", is_safe=True),
        citation="Glorot & Bengio 2010",
        operation=segment.operations[0].index,
    )
