"""SZ313."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.cancelled import is_scale_taken_off
from stepzero.measure.wrong_fans import Draw, Mistake, draws, is_lawful, mistakes


@rule("SZ313", "wrong-fan", tier=1, limits=("fan_factor", "fan_margin", "fan_default"))
def wrong_fan(trace: Trace, limits: Limits) -> Verdict:
    """A weight follows a known law with the wrong fan.

    What it finds
    -------------
    Weights whose standard deviation agrees, within what the sample can tell, with gain / sqrt(fan) for a fan misread
    from the stored shape (a matrix used as x @ W, a transposed or a grouped convolution) and with no law for the true
    fan. Reported when the factor is above 1.4 and the evidence does not rest on chance: two shapes that agree on one
    mistake, or one shape whose standard deviation is known to 6 %. Layers whose scale a norm takes off are a note, and
    so is torch's own default where the factor is below 1.5: a transposed convolution that halves its channels starts a
    root of two smaller than its author thinks.

    Why it matters
    --------------
    The initialiser reads fans off the shape, and the shape does not say how the tensor is used. A depthwise
    convolution drawn for all channels is too small by the root of their number, in every layer.

    When it is fine
    ---------------
    Square matrices, where both readings agree; round numbers such as 0.02; every law with a true fan, in or out or
    their mean. A norm behind the layer takes the scale away.

    Bad
    ---
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.empty(256, 32)), nn.Parameter(torch.empty(32, 512))
            self.c = nn.Parameter(torch.empty(512, 4))
            for weight in (self.a, self.b, self.c):
                nn.init.kaiming_normal_(weight)

        def forward(self, x):
            return torch.relu(torch.relu(x @ self.a) @ self.b) @ self.c

    def build():
        return Net(), torch.randn(64, 256)

    expected = ("a", "c")

    Good
    ----
    import torch
    from torch import nn

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Parameter(torch.empty(256, 32)), nn.Parameter(torch.empty(32, 512))
            self.c = nn.Parameter(torch.empty(512, 4))
            for weight in (self.a, self.b, self.c):
                nn.init.kaiming_normal_(weight, mode="fan_out")

        def forward(self, x):
            return torch.relu(torch.relu(x @ self.a) @ self.b) @ self.c

    def build():
        return Net(), torch.randn(64, 256)

    Fix
    ---
    Multiply the weight by sqrt(wrong fan / true fan), or pass the true fan to the initialiser.

    References
    ----------
    udacity/deep-reinforcement-learning#14; huggingface/pytorch-image-models#84; ml-explore/mlx#4536;
    Lasagne/Lasagne#858; pytorch/pytorch#166378; pytorch/pytorch#130122.
    """
    found: dict[tuple[str, str], list[Mistake]] = {}
    for draw in draws(trace):
        if not is_lawful(draw):
            for mistake in mistakes(draw):
                found.setdefault((mistake.reading, mistake.law), []).append(mistake)
    said: set[str] = set()
    graph = Graph(trace)
    for group in sorted(found.values(), key=len, reverse=True):
        fresh = [mistake for mistake in group if mistake.draw.facts[0].name not in said]
        large = [mistake for mistake in fresh if _factor(mistake) > limits.fan_factor]
        if large and _is_sure(fresh, limits):
            said.update(fact.name for mistake in fresh for fact in mistake.draw.facts)
            yield _finding(graph, large, limits)


def _factor(mistake: Mistake) -> float:
    """How far the draw is from its law, either way."""
    return math.sqrt(max(mistake.wrong / mistake.right, mistake.right / mistake.wrong))


def _is_large(mistake: Mistake, limits: Limits) -> bool:
    """Torch's default is itself smaller than a law that keeps the signal by more than a factor: one more is a note."""
    return mistake.law != "torch's default" or _factor(mistake) > limits.fan_default


def _is_sure(group: list[Mistake], limits: Limits) -> bool:
    """Several shapes, misread with different factors, or one that is known well."""
    factors = {round(math.log(mistake.wrong / mistake.right), 2) for mistake in group}
    return len(factors) > 1 or min(mistake.draw.margin for mistake in group) <= limits.fan_margin


def _is_felt(graph: Graph, draw: Draw) -> bool:
    """Whether the scale reaches something that is not a norm."""
    is_normalised = draw.operation.consumer in ("norm", "softmax", "attention")
    return not (is_normalised or is_scale_taken_off(graph, draw.operation))


def _finding(graph: Graph, group: list[Mistake], limits: Limits) -> Finding:
    worst = max(group, key=_factor)
    is_felt = any(_is_felt(graph, mistake.draw) and _is_large(mistake, limits) for mistake in group)
    ratio = math.sqrt(worst.right / worst.wrong)
    name = worst.draw.facts[0].name
    return Finding(
        code="SZ313",
        name="wrong-fan",
        severity="warning" if is_felt else "info",
        where=tuple(fact.name for mistake in group for fact in mistake.draw.facts),
        message=(
            f"{name} has the standard deviation {worst.draw.std:.3g} of {worst.law} with fan {worst.wrong:g} "
            f"({worst.reading}), and its fan in is {worst.right:g}: {ratio:.3g} times what it should be "
            f"(limit {limits.fan_factor:g} either way)"
        ),
        value=ratio,
        limit=limits.fan_factor,
        unit="ratio",
        evidence="value",
        cause="wrong-fan",
        fix=Fix(
            "multiply by the root of wrong over true fan",
            parameter=name,
            scheme="rescale",
            arguments={"factor": math.sqrt(worst.wrong / worst.right)},
            is_safe=True,
        ),
        citation="pytorch/pytorch#130122",
        operation=worst.draw.operation.index,
    )
