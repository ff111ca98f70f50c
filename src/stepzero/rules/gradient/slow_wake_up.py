"""SZ404."""

import math

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import first_touch, sleepers


@rule(
    "SZ404",
    "slow-wake-up",
    tier=1,
    needs=("wake",),
    limits=("wake_warning_size", "wake_error_size", "wake_error_of_eps", "gradient_reference_lr"),
)
def slow_wake_up(trace: Trace, limits: Limits) -> Verdict:
    """Zero layers in a row on the only path wake one after another, each much later than the one before.

    What it finds
    -------------
    Weight layers with two or more all-zero weight layers between them and the loss and no way around, in a network
    that only its biases tell apart; one such layer, when the optimizer is not given. The message says at which step
    the first gradient arrives and how large it is.

    Why it matters
    --------------
    This is the opposite of the usual start: weights zero, biases random. It is not useless, it is fragile. Random
    biases do break the symmetry of zero weights, but with j zero layers above it a layer is first touched at step j,
    by a gradient of order lr^(2^j - 1) under gradient descent and lr^j under Adam. For two or three weight layers that
    trains; for six it is below the smallest float32 number. Behind a ReLU units with a bias of 0 or less are lost for
    good besides.

    Two layers show it already. All units of the first see one and the same direction when they wake, and what the data
    asks for beyond it has to grow out of that: on the XOR of quadrants gradient descent takes 7 (8 tanh units) to 25
    times (64) as long as from random weights and zero biases, on a linear target 3 times, Adam up to 2.5 times.

    When it is fine
    ---------------
    One zero layer (a head) is SZ403, and so are chains of zero gates and zero branches with a skip around them. Two
    tanh layers of zeros train; Adam trains four. With the optimizer given (``optimizer=``) it is a note while the
    gradient is large enough, and nothing for two layers; without, it is a warning, since the pace hangs on it.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        layers = [layer for _ in range(5) for layer in (nn.Linear(8, 8), nn.Tanh())]
        model = nn.Sequential(*layers, nn.Linear(8, 4))
        for name, parameter in model.named_parameters():
            nn.init.zeros_(parameter) if "weight" in name else nn.init.normal_(parameter, std=0.5)
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        layers = [layer for _ in range(5) for layer in (nn.Linear(8, 8), nn.Tanh())]
        model = nn.Sequential(*layers, nn.Linear(8, 4))
        for name, parameter in model.named_parameters():
            nn.init.xavier_normal_(parameter) if "weight" in name else nn.init.zeros_(parameter)
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Draw the weights by their law and leave the biases at zero: random weights tell the units apart by themselves.

    References
    ----------
    Theorem 3 of the project's theory notes; LeCun et al. 1998, section 4.6.
    """
    slow = sleepers.slow_weights(trace)
    if not slow:
        return
    steps = max(slow.values())
    names = tuple(sorted(slow, key=lambda name: -slow[name]))
    rate = trace.optimizer.lr or limits.gradient_reference_lr
    size, law = first_touch.size(rate, steps, is_adaptive=trace.optimizer.is_adaptive)
    blocked = trace.optimizer.is_adaptive and size < limits.wake_error_of_eps * (trace.optimizer.eps or first_touch.EPS)
    severity: Severity = "info"
    if blocked or (not trace.optimizer.is_adaptive and size < limits.wake_error_size):
        severity = "error"
    elif size < limits.wake_warning_size or not trace.optimizer.name:
        severity = "warning"
    optimizer = trace.optimizer.name or "gradient descent"
    written = f"1e{math.log10(size):.0f}" if size > 0 else "0"
    yield Finding(
        code="SZ404",
        name="slow-wake-up",
        severity=severity,
        where=names,
        message=(
            f"{names[0]} has {steps} all-zero weight layer{'s' if steps > 1 else ''} between it and the loss, and only "
            f"biases tell its units apart: {optimizer} at learning rate "
            f"{rate:g} first reaches it at step {steps} with a gradient of order {law} = {written} (limit "
            f"{limits.wake_warning_size:g}){sleepers.measured_touch(trace, names[0])}"
        ),
        value=size,
        limit=limits.wake_warning_size,
        unit="first gradient",
        evidence="wake-up",
        cause="zero-on-main-path",
        fix=Fix("draw the weights by law, biases zero", names[0], "law", is_safe=True),
        citation="project theory notes, theorem 3",
    )
