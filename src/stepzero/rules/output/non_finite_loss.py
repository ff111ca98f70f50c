"""SZ510."""

import math

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import place_of


@rule("SZ510", "non-finite-loss", tier=1)
def non_finite_loss(trace: Trace, limits: Limits) -> Verdict:
    """The first loss is NaN or infinite.

    What it finds
    -------------
    A loss that is not a finite number, and the first operation on the way to it whose responses are not finite.
    There is no threshold.

    Why it matters
    --------------
    The first optimizer step writes NaN into every parameter that the loss depends on.

    When it is fine
    ---------------
    Never. Infinities that a softmax absorbs (additive masks) do not reach the loss and are not reported.

    Bad
    ---
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, x):
            return self.last(torch.log(self.first(x)))

    def build():
        return Net(), torch.randn(16, 8), lambda output: output.square().mean()

    expected = ("first.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.first, self.last = nn.Linear(8, 16), nn.Linear(16, 4)

        def forward(self, x):
            return self.last(torch.log1p(self.first(x).abs()))

    def build():
        return Net(), torch.randn(16, 8), lambda output: output.square().mean()

    Fix
    ---
    Keep logarithms, roots and divisions away from zero and negative numbers, and exponentials below the largest
    number of the dtype; redraw a weight whose scale makes them overflow.

    References
    ----------
    fla-org/flame#9 (NaN in a few runs from values of order 1e30); Micikevicius et al. 2018.
    """
    value = trace.loss.value
    if value is None or math.isfinite(value):
        return
    first, last = _first(trace), trace.loss.operation
    seat = first or (trace.operations[last] if last is not None else None)
    said = "every measured result is finite, so the loss itself makes it so"
    if first is not None:
        said = f"the first such result is {first.name} {first.shape} in {first.module or trace.model}"
    yield Finding(
        code="SZ510",
        name="non-finite-loss",
        severity="error",
        where=place_of(trace, seat) if seat is not None else ("",),
        message=f"the loss is {value}, and it must be finite; {said}",
        value=value,
        unit="loss",
        evidence="fact",
        citation="fla-org/flame#9",
        operation=seat.index if seat is not None else None,
    )


def _first(trace: Trace) -> Operation | None:
    """The earliest non-finite result from which only non-finite or unmeasured ones lead to the loss."""
    stack = [trace.loss.operation] if trace.loss.operation is not None else []
    seen, bad = set(stack), list[int]()
    while stack:
        index = stack.pop()
        if trace.operations[index].forward is not None:
            bad.append(index)
        for source in trace.operations[index].inputs:
            signal = trace.operations[source].forward
            if source not in seen and (signal is None or signal.nonfinite):
                seen.add(source)
                stack.append(source)
    return trace.operations[min(bad)] if bad else None
