"""SZ409."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace

_DEFAULT = {"adagrad": 1e-10, "sparseadam": 1e-8}
_USUAL = 1e-8
"""Epsilon of Adam and RMSprop in torch, where the optimizer was told by its name alone."""
_DIVIDES = frozenset(["adam", "adamw", "nadam", "adamax", "sparseadam", "adagrad", "rmsprop"])
_MEDIAN = 0.6745
"""Median of abs(g) over its rms for normal entries."""


@rule("SZ409", "epsilon-floor", tier=2, limits=("epsilon_factor", "epsilon_share"))
def epsilon_floor(trace: Trace, limits: Limits) -> Verdict:
    """Gradients are so small that the optimizer's epsilon, not their own size, sets the step.

    What it finds
    -------------
    Optimizers that divide by the gradient's own size plus epsilon: parameters of which more than half of the slices
    along the first axis have a typical gradient below ten times epsilon.

    Why it matters
    --------------
    An adaptive optimizer moves every parameter by about the learning rate, however small its gradient. Near epsilon it
    no longer does: the update shrinks with the gradient, as in plain descent, and the layer hardly moves.

    When it is fine
    ---------------
    Slices without any gradient yet are judged when they wake. Without an optimizer of this kind the rule is silent.
    A large epsilon chosen on purpose makes the optimizer gentle and is reported all the same.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
        return model, torch.randn(64, 16), lambda output: 1e-8 * output.square().mean()

    optimizer = "adam"
    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(16, 32), nn.Tanh(), nn.Linear(32, 4))
        return model, torch.randn(64, 16), lambda output: output.square().mean()

    optimizer = "adam"

    Fix
    ---
    Lower epsilon, or mend what makes the gradients small (the scale of the loss, a drift along the layers).

    References
    ----------
    Kingma & Ba 2015, section 2.1; Wortsman et al. 2023 (epsilon and small gradients at scale).
    """
    kind = trace.optimizer.name.lower()
    if kind not in _DIVIDES:
        return
    eps = trace.optimizer.eps if trace.optimizer.eps is not None else _DEFAULT.get(kind, _USUAL)
    floor = limits.epsilon_factor * eps
    found = [(fact, size) for fact in trace.parameters if (size := _typical(fact, floor, limits)) is not None]
    if found:
        yield _finding(trace, found, floor)


def _typical(fact: TensorFact, floor: float, limits: Limits) -> float | None:
    """Typical gradient of the slices below the floor, where these are most of those that have one."""
    if not fact.requires_grad or fact.gradient is None or fact.gradient.nonfinite or not fact.numel:
        return None
    norms = [norm for norm in fact.gradient.row_norm if norm > 0.0]
    each = (max(1, fact.numel // max(1, len(fact.gradient.row_norm)))) ** 0.5
    low = [_MEDIAN * norm / each for norm in norms if _MEDIAN * norm < floor * each]
    return sum(low) / len(low) if norms and len(low) > limits.epsilon_share * len(norms) else None


def _finding(trace: Trace, found: list[tuple[TensorFact, float]], floor: float) -> Finding:
    worst, size = min(found, key=lambda each: each[1])
    others = f", and {len(found) - 1} more parameters are below" if len(found) > 1 else ""
    names = [worst.name, *(fact.name for fact, _ in found if fact is not worst)]
    return Finding(
        code="SZ409",
        name="epsilon-floor",
        severity="warning",
        where=tuple(names),
        message=f"its gradient is typically {size:.2g}, below {floor:.2g} by {trace.optimizer.name}'s epsilon{others}",
        value=size,
        limit=floor,
        unit="gradient",
        evidence="gradient",
        fix=Fix("lower the optimizer's epsilon, or scale the loss"),
        citation="Kingma & Ba 2015",
    )
