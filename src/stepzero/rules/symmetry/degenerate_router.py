"""SZ211."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, TensorFact, Trace
from stepzero.measure.routing import routers
from stepzero.measure.uses import place_of, weight_use

_LIMITS = ("router_share", "router_control", "router_min_positions")


@rule("SZ211", "degenerate-router", tier=2, needs=("control",), limits=_LIMITS)
def degenerate_router(trace: Trace, limits: Limits) -> Verdict:
    """A router sends all tokens to the same experts.

    What it finds
    -------------
    A router is a layer whose results are ranked to choose some of them. Reported when its logits are equal for all
    experts, so that the order of ties decides, or when one expert's logit is the largest at more than 90 % of the
    positions while it is at most half of them when the model is drawn by law.

    Why it matters
    --------------
    Experts that no token reaches get no gradient, and those that all tokens reach get better: the choice confirms
    itself. A mixture that starts with one expert tends to stay with it.

    When it is fine
    ---------------
    Noise added to the logits in front of the choice breaks ties and offsets, and such routers are not judged. Routing
    without a gradient is SZ406.

    Bad
    ---
    import torch
    from torch import nn

    class Mixture(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(16, 4)
            self.experts = nn.ModuleList([nn.Linear(16, 16) for _ in range(4)])
            nn.init.zeros_(self.router.weight)
            nn.init.zeros_(self.router.bias)

        def forward(self, x):
            weight, chosen = self.router(x).softmax(-1).topk(1)
            every = torch.stack([expert(x) for expert in self.experts], 1)
            return weight * every[torch.arange(len(x)), chosen[:, 0]]

    def build():
        return Mixture(), torch.randn(64, 16)

    expected = ("router.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Mixture(nn.Module):
        def __init__(self):
            super().__init__()
            self.router = nn.Linear(16, 4)
            self.experts = nn.ModuleList([nn.Linear(16, 16) for _ in range(4)])

        def forward(self, x):
            weight, chosen = self.router(x).softmax(-1).topk(1)
            every = torch.stack([expert(x) for expert in self.experts], 1)
            return weight * every[torch.arange(len(x)), chosen[:, 0]]

    def build():
        return Mixture(), torch.randn(64, 16)

    Fix
    ---
    Draw the router's weight by its law and set its bias to zero.

    References
    ----------
    jingyaogong/minimind#858.
    """
    facts, seen = {fact.name: fact for fact in trace.parameters}, set[str]()
    for router in routers(trace):
        use, signal = weight_use(router), router.forward
        if use is None or use.parameter in seen or use.parameter not in facts or signal is None or signal.units < 2:
            continue
        place = tuple(dict.fromkeys((use.parameter, *place_of(trace, router))))
        said = _tied(router, [facts[name] for name in place if name in facts]) or _won(trace, router, limits)
        if said:
            seen.add(use.parameter)
            yield Finding(
                code="SZ211",
                name="degenerate-router",
                severity="warning",
                where=place,
                message=f"the router {use.parameter} {said}",
                limit=limits.router_share,
                unit="share of positions",
                evidence="control" if trace.control.ran else "value",
                fix=Fix("draw the router by its law", use.parameter, "law", is_safe=True),
                citation="jingyaogong/minimind#858",
                operation=router.index,
            )


def _tied(router: Operation, parts: list[TensorFact]) -> str:
    """Whether weight and bias say the same of every expert."""
    is_tied = bool(parts) and parts[0].is_zero and all(fact.is_constant for fact in parts)
    signal = router.forward
    units = signal.units if signal is not None else 0
    return f"gives its {units} experts equal logits: the order of ties decides, not the token" if is_tied else ""


def _won(trace: Trace, router: Operation, limits: Limits) -> str:
    """Whether one expert has the largest logit nearly everywhere, and no network drawn by law does the same."""
    own, drawn = trace.control.own_at("winner", router.index), trace.control.at("winner", router.index)
    signal = router.forward
    if own is None or drawn is None or signal is None or signal.rows < limits.router_min_positions:
        return ""
    if own <= limits.router_share or drawn.median > limits.router_control or drawn.holds(own):
        return ""
    return (
        f"ranks one expert first at {own:.0%} of the positions, {drawn.median:.0%} when drawn by law; the limit is "
        f"{limits.router_share:.0%}"
    )
