"""SZ402."""

from collections.abc import Iterator

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import sleepers
from stepzero.measure.words import agree, listed


@rule("SZ402", "stuck-parameter", tier=1, needs=("wake",))
def stuck_parameter(trace: Trace, _: Limits) -> Verdict:
    """This start gives a parameter no gradient, now or after any number of steps.

    What it finds
    -------------
    Parameters (or slices of them that hold only zeros) whose gradient is exactly zero at the start and after virtual
    steps of everything that does move, although the same parameter learns when the network is drawn by its laws. The
    report names the zero whose redrawing wakes them: a norm gain of 0 on the only path, a zero layer in front of a
    ReLU.

    Why it matters
    --------------
    The optimizer multiplies nothing by something: the parameter keeps its value for ever, and so does everything that
    waits behind it.

    It is the second way in which zero weights fail where zero biases do not. The gradient of a weight is what comes in
    times the error that comes back. With all weights and biases zero and an activation that maps 0 to 0, no signal
    comes in and no error gets through: only the last bias learns, which is to say the class frequencies. The gradient
    of a bias is the error alone, whatever its value, so a zero bias blocks nothing.

    When it is fine
    ---------------
    Zeros that wake by themselves are SZ403. Rows and experts that this batch does not reach are not judged. A bias in
    front of a norm, or of a key, is redundant by algebra: SZ603. Units switched off by a ReLU are SZ305, zero factors
    of one product SZ701.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4))
        nn.init.zeros_(model[1].weight)
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("1.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.LayerNorm(16), nn.ReLU(), nn.Linear(16, 4))
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Redraw the blocking tensor by its law (a norm gain: set it to 1); of a pair of zero factors only one.

    References
    ----------
    lucidrains/deep-cross-attention#2; yz93/LAVT-RIS#25; section 1.5 of the project's theory notes.
    """
    yield from _stuck(trace)
    yield from _lost(trace)


def _lost(trace: Trace) -> Iterator[Finding]:
    """Rows of zeros behind a unit that its bias switches off, or whose bias and columns are zero as well."""
    zero = {fact.name for fact in trace.parameters if fact.is_zero}
    for each in sleepers.lost(trace):
        yield Finding(
            code="SZ402",
            name="stuck-parameter",
            severity="warning" if each.parameter in zero else "error",  # random biases keep the other units apart
            where=(each.parameter,),
            message=(
                f"{each.zero_stuck} of {each.slices} rows of {each.parameter} are zero and get a gradient of exactly 0 "
                f"at the start{sleepers.over_steps(trace)}: their units never learn"
            ),
            value=each.zero_stuck / each.slices,
            limit=0.0,
            unit="share of rows",
            evidence="wake-up",
            cause="kink-at-zero" if each.parameter in zero else "zero-factor-pair",
            fix=Fix("redraw it by its law", each.parameter, "law", is_safe=True),
            citation="project theory notes, 1.5",
        )


def _stuck(trace: Trace) -> Iterator[Finding]:
    for blocker, names in sleepers.stuck(trace).items():
        where = (blocker, *(name for name in names if name != blocker)) if blocker else names
        because = f": they wake as soon as {blocker}, which is zero, is redrawn" if blocker else ""
        yield Finding(
            code="SZ402",
            name="stuck-parameter",
            severity="error",
            where=where,
            message=(
                f"{listed(where, 'parameter')} {agree(where, 'get')} a gradient of exactly 0 at the start"
                f"{sleepers.over_steps(trace)}, and more than 0 in the same network drawn by its laws{because}"
            ),
            value=0.0,
            limit=0.0,
            unit="gradient",
            evidence="wake-up",
            cause=sleepers.cause(trace, blocker) if blocker else "",
            fix=Fix("redraw it by its law", blocker, "law", is_safe=True)
            if blocker
            else Fix("redraw the zeros among them by their laws", scheme="law", is_safe=True),
            citation="project theory notes, 1.5",
        )
