"""SZ507."""

from stepzero.core.finding import Finding, Severity
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure import sleepers
from stepzero.measure.constancy import Cut, cut, outputs, varies
from stepzero.measure.roundoff import unit_roundoff
from stepzero.measure.uses import place_of


@rule("SZ507", "input-independent-output", tier=1, needs=("wake",), limits=("equality_roundoffs",))
def input_independent_output(trace: Trace, limits: Limits) -> Verdict:
    """The network gives the same output for every sample of the batch.

    What it finds
    -------------
    Outputs whose standard deviation over samples is at most 16 roundings of their rms, though the samples differ;
    named is the first layer where the difference is lost. An error when parameters up to there never get a
    gradient (virtual steps), a warning when the signal has only faded below rounding.

    Why it matters
    --------------
    A constant can learn the mean of the targets and nothing else. If what cut the signal off cannot wake, that is
    where training ends: the loss falls at first and then stays.

    When it is fine
    ---------------
    A head that starts at zero, or a whole output that does (flows, diffusion), is constant for one step and wakes: a
    note. A network of which one output varies is silent. One sample, or equal samples, tell nothing. An output that no
    parameter can change is SZ506.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        nn.init.constant_(model[0].bias, -20.0)
        labels = torch.arange(64) % 4
        return model, torch.randn(64, 16), lambda output: nn.functional.cross_entropy(output, labels)

    expected = ("0.bias",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        torch.manual_seed(0)
        model = nn.Sequential(nn.Linear(16, 32), nn.ReLU(), nn.Linear(32, 4))
        nn.init.zeros_(model[2].weight)
        labels = torch.arange(64) % 4
        return model, torch.randn(64, 16), lambda output: nn.functional.cross_entropy(output, labels)

    Fix
    ---
    That of the layer it names: redraw its weight, or set its bias to zero.

    References
    ----------
    Karpathy 2019 (a recipe for training neural networks); section 1.2 of the project's theory notes.
    """
    if not trace.has_backward or trace.wake.output_is_constant:
        return
    if not varies(trace, limits.equality_roundoffs):
        if outputs(trace):
            yield NotJudged("the batch holds one sample, or samples that cannot be told apart")
        return
    found = cut(trace, limits.equality_roundoffs)
    if found is not None:
        yield _finding(trace, found, limits)


def _severity(trace: Trace, operation: Operation) -> Severity:
    """By what stands at the cut and before it: a zero that is live, parameters that never wake, or neither."""
    asleep, zeros = sleepers.asleep_for_ever(trace), set(sleepers.waking_zeros(trace))
    above = Graph(trace).upstream({operation.index})
    if zeros.intersection(use.parameter for use in operation.uses):
        return "info"
    names = {use.parameter for index in above for use in trace.operations[index].uses}
    if names & asleep:
        return "error"
    return "info" if names & zeros else "warning"


def _finding(trace: Trace, found: Cut, limits: Limits) -> Finding:
    severity, operation = _severity(trace, found.operation), found.operation
    limit = limits.equality_roundoffs * unit_roundoff("float32")
    tail = {"error": ", and parameters up to there never get a gradient", "warning": "", "info": ", and it wakes"}
    return Finding(
        code="SZ507",
        name="input-independent-output",
        severity=severity,
        where=place_of(trace, operation),
        message=(
            f"the output varies by {found.spread:.2g} of its rms over {trace.batch_size or 'the'} samples, the limit "
            f"is {limit:.2g}: from {operation.name} on all samples are the same{tail[severity]}"
        ),
        value=found.spread,
        limit=limit,
        unit="standard deviation over rms",
        evidence="wake-up" if severity != "warning" else "value",
        citation="Karpathy 2019",
        operation=operation.index,
    )
