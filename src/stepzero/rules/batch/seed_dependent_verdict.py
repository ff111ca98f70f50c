"""SZ908."""

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.spread import Spread
from stepzero.core.trace import Trace


@rule("SZ908", "seed-dependent-verdict", tier=3, needs=("seeds",))
def seed_dependent_verdict(trace: Trace, limits: Limits) -> Verdict:
    """A verdict is another one under another seed.

    What it finds
    -------------
    With `--seeds N` the factory builds the model N times, from consecutive seeds, and each is checked. Findings of one
    code that share a place are one verdict. When one is not equally severe under every seed, silence counting as much
    as a note, this note says for the code how often it was found and between which numbers. The finding itself then
    counts as much as the mildest seed says, at whatever place that seed has it: a coin must not decide whether a build
    passes, and a fault that every seed has somewhere is no coin.

    Why it matters
    --------------
    A finding that comes and goes is a property of the draw, not of the law: the start is at the edge. Narrow and deep
    networks are born dead with a probability that no single check shows. The cure is a law that keeps clear of the
    edge, not a lucky seed.

    When it is fine
    ---------------
    One seed says nothing here. A start that is meant to be a lottery: a search over seeds, an ensemble.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(6) for layer in (nn.Linear(3, 3), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(3, 2)), torch.randn(64, 3)

    options = {"select": ["SZ305", "SZ908"], "seeds": 6}
    expected = ["4.weight"]

    Good
    ----
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.LayerNorm(64), nn.ReLU())]
        return nn.Sequential(*layers, nn.Linear(64, 2)), torch.randn(64, 64)

    options = {"select": ["SZ305", "SZ908"], "seeds": 6}

    Fix
    ---
    Widen, normalise, or draw by the law of the consumer; then the seeds agree. Pin the seed only where the run is a
    lottery on purpose.

    References
    ----------
    Hanin and Rolnick 2018 (1803.01719): the spread over draws grows with the depth over the width. Lu, Shin, Su and
    Karniadakis 2019 (1903.06733): narrow deep ReLU networks are born dead with positive probability.
    """
    for spread in trace.seeds.flipping:
        yield Finding(
            "SZ908",
            "seed-dependent-verdict",
            "info",
            spread.where,
            _sentence(spread, trace.seeds.seeds),
            value=spread.num_found / len(spread.severities),
            unit="share of seeds",
            evidence="fact",
            citation="Hanin and Rolnick 2018; Lu 2019",
        )


def _sentence(spread: Spread, seeds: tuple[int, ...]) -> str:
    found = [str(seed) for seed, severity in zip(seeds, spread.severities, strict=True) if severity]
    levels = " or ".join(dict.fromkeys(severity for severity in spread.severities if severity))
    numbers = [value for value in spread.values if value is not None]
    low, high = min(numbers, default=0.0), max(numbers, default=0.0)
    between = f", with numbers from {low:.3g} to {high:.3g}" if low < high else ""
    level = {"error": "an error", "warning": "a warning"}.get(spread.mildest or "", "a note")
    return (
        f"{spread.code} {spread.name} is found at {levels} level under {spread.num_found} of {len(seeds)} seeds "
        f"({', '.join(found)}){between}, so it counts as {level}"
    )
