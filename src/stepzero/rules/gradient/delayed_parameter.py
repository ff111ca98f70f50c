"""SZ403."""

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure import sleepers
from stepzero.measure.words import agree, listed


@rule("SZ403", "delayed-parameter", tier=1, needs=("wake",))
def delayed_parameter(trace: Trace, _: Limits) -> Verdict:
    """A zero start keeps parameters waiting for a step or a few, and then they learn.

    What it finds
    -------------
    Parameters whose gradient is exactly zero at the start and not after one or more virtual steps, and the zeros they
    wait for: a zero head, a zero last layer of a branch, a zero gate, one zero factor of an adapter.

    Why it matters
    --------------
    It looks like a fault in a gradient histogram, and it is none: the zero itself has a gradient, moves first, and
    wakes the rest. The note says how many steps that takes.

    So weights may be zero where a drawn signal comes in and an error comes back: in the last layer of the network, or
    of a branch with a skip around it; even a single zero layer between drawn ones wakes, unless a ReLU behind it is
    shut. The units in front of a zero head have equal columns and different rows, and one difference is enough. Zero
    weights with nothing drawn beside them are the copies of SZ201, the stuck weights of SZ402 or the slow ones of
    SZ404.

    When it is fine
    ---------------
    Always; that is why it is a note. Chains of such starts take several steps. Zero layers in a row on the only path
    are another matter: SZ404.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        nn.init.zeros_(model[2].weight)
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    None is needed.

    References
    ----------
    lllyasviel/ControlNet#510; majumderb/rezero#6; huggingface/peft#2212; pytorch/vision#6677.
    """
    slow = sleepers.slow_weights(trace)
    groups: dict[int, list[str]] = {}
    for each in trace.wake.parameters:
        if each.stuck < each.slices and each.has_gradient and each.delay and each.parameter not in slow:
            groups.setdefault(each.delay, []).append(each.parameter)
    for delay, names in groups.items():
        zeros = sleepers.live_zeros(trace)
        behind = (
            f", behind {zeros[0]}" + (f" and {len(zeros) - 1} more zeros" if len(zeros) > 1 else "") if zeros else ""
        )
        yield Finding(
            code="SZ403",
            name="delayed-parameter",
            severity="info",
            where=tuple(names),
            message=(
                f"{listed(names, 'parameter')} {agree(names, 'have')} no gradient at step 0 and will after step "
                f"{delay}{behind}"
            ),
            value=float(delay),
            limit=0.0,
            unit="steps",
            evidence="wake-up",
            citation="lllyasviel/ControlNet#510",
        )
