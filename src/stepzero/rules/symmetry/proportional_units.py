"""SZ204."""

from collections.abc import Iterator

from stepzero.core.finding import Finding, Fix, Severity
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.symmetry import UnitBlock
from stepzero.core.trace import Trace
from stepzero.measure import blocks
from stepzero.measure.updates import is_adaptive


@rule("SZ204", "proportional-units", tier=2, needs=("symmetry",), limits=("scaled_error_share",))
def proportional_units(trace: Trace, limits: Limits) -> Verdict:
    """Units are multiples of each other, in their responses and in their gradients alike.

    What it finds
    -------------
    Mirrored units: row, bias and outgoing weights of one are those of another with the sign turned, behind an odd
    activation. Scaled units: row, bias and outgoing weights are a positive multiple, behind a ReLU.

    Why it matters
    --------------
    Mirrored units compute one thing twice and stay mirrored under every optimizer that treats all entries alike.
    Scaled units stay proportional under gradient descent with momentum and weight decay; Adam parts them.

    When it is fine
    ---------------
    Rows of opposite sign behind a ReLU (looks-linear, concatenated ReLU) are different units. Units of fewer than four
    inputs can be near multiples by chance; what is reported agrees in every projection of responses and gradients.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        with torch.no_grad():
            model[0].weight[8:] = -model[0].weight[:8]
            model[0].bias[8:] = -model[0].bias[:8]
            model[2].weight[:, 8:] = -model[2].weight[:, :8]
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))
        with torch.no_grad():  # looks-linear: relu(z) - relu(-z) = z
            model[0].weight[8:] = -model[0].weight[:8]
            model[0].bias.zero_()
            model[2].weight[:, 8:] = -model[2].weight[:, :8]
        return model, torch.randn(32, 8), lambda output: (output - 1).square().mean()

    Fix
    ---
    Redraw one unit of each pair by the layer's law.

    References
    ----------
    Section 1.5 of the project's theory notes; Saxe et al. 2014 (1312.6120).
    """
    yield from _mirrored(trace)
    yield from _scaled(trace, limits)


def _mirrored(trace: Trace) -> Iterator[Finding]:
    for name, found in blocks.by_weight(blocks.of_level(trace, "mirrored")).items():
        words = f"{blocks.words(found)} mirror each other, rows, gradients and all, and stay mirrored for ever"
        yield _finding(trace, name, found, "error", words)


def _scaled(trace: Trace, limits: Limits) -> Iterator[Finding]:
    for name, found in blocks.by_weight(blocks.of_level(trace, "scaled")).items():
        units = blocks.num_units(trace, name)
        severity: Severity = "warning"
        if is_adaptive(trace):
            severity = "info"
        elif units and blocks.num_extra(found) > limits.scaled_error_share * units:
            severity = "error"
        fate = "which Adam parts" if is_adaptive(trace) else "which gradient descent keeps and Adam would part"
        yield _finding(trace, name, found, severity, f"{blocks.words(found)} are multiples of each other, {fate}")


def _finding(trace: Trace, name: str, found: list[UnitBlock], severity: Severity, words: str) -> Finding:
    units, extra = blocks.num_units(trace, name), blocks.num_extra(found)
    return Finding(
        code="SZ204",
        name="proportional-units",
        severity=severity,
        where=(name,),
        message=f"{name} has {units - extra} different units of {units}: {words}",
        value=(units - extra) / units if units else None,
        limit=1.0,
        unit="effective width",
        evidence="wake-up",
        cause="copied-not-redrawn",
        fix=Fix("redraw one unit of each pair", name, "law", is_safe=True),
        citation="project theory notes, 1.5",
    )
