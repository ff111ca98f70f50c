"""SZ706."""

import math
from collections import Counter
from collections.abc import Sequence
from statistics import median

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import TensorFact, Trace
from stepzero.measure.repeats import repeats

_SLOTS = ("weight", "recurrent", "bias")


@rule(
    "SZ706",
    "inconsistent-siblings",
    tier=2,
    limits=("sibling_factor", "sibling_band", "sibling_blocks", "sibling_share", "sibling_errors"),
)
def inconsistent_siblings(trace: Trace, limits: Limits) -> Verdict:
    """One of many repeated blocks is drawn by another law than its siblings.

    What it finds
    -------------
    The same parameter of at least five repeated blocks, of one shape: a few whose rms is more than two times the
    siblings' median or less than half of it, beyond what a sample of their size can be off by, while all others agree.
    For biases: a few that are not zero where all others are, or the other way round.

    Why it matters
    --------------
    Blocks of one kind are meant to start alike. One that does not was passed over by the initialiser, or written twice,
    and is the one that drifts first.

    When it is fine
    ---------------
    The first and the last block often have a law of their own, and a scale may change along the depth: neither is
    reported, nor is a weight that calibration made as large as its input asks for, so that its response has the size
    of the siblings' responses (within a factor 1.3). Where more than a quarter differ there is no majority to compare
    with.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.Tanh())]
        for layer in layers[::2]:
            nn.init.xavier_normal_(layer.weight)
        layers[4].reset_parameters()
        nn.init.normal_(layers[4].weight, std=0.02)
        return nn.Sequential(*layers, nn.Linear(64, 4)), torch.randn(32, 64)

    expected = ("4.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        layers = [layer for _ in range(6) for layer in (nn.Linear(64, 64), nn.Tanh())]
        for layer in layers[::2]:
            nn.init.xavier_normal_(layer.weight)
        return nn.Sequential(*layers, nn.Linear(64, 4)), torch.randn(32, 64)

    Fix
    ---
    Draw it by the law of the majority.

    References
    ----------
    karpathy/llama2.c#579; kngwyu/Rainy#17.
    """
    slots = {use.parameter: use.slot for operation in trace.operations for use in operation.uses}
    responses = _responses(trace)
    for members in repeats(trace):
        if len(members) < limits.sibling_blocks or not all(fact.requires_grad for fact in members):
            continue
        if slots.get(members[0].name) not in _SLOTS:
            continue
        usual = median(fact.rms for fact in members)
        odd = [fact for fact in members if _is_odd(fact, usual, limits)]
        rest = [fact for fact in members if fact not in odd]
        few = 0 < len(odd) <= limits.sibling_share * len(members)
        if few and all(_is_usual(fact, usual, limits) for fact in rest):
            inner = [fact for fact in odd if fact not in (members[0], members[-1])]
            inner = [fact for fact in inner if not _makes_up(fact, members, responses, limits)]
            if inner:
                yield _finding(inner, usual, len(members), limits)


def _responses(trace: Trace) -> dict[str, float]:
    """Rms of what each weight brings, where one operation alone reads it."""
    read = [(use.parameter, operation) for operation in trace.operations for use in operation.uses]
    counts = Counter(name for name, _ in read)
    return {
        use.parameter: operation.forward.rms
        for operation in trace.operations
        for use in operation.uses
        if use.slot == "weight" and operation.forward is not None and counts[use.parameter] == 1
    }


def _makes_up(fact: TensorFact, members: Sequence[TensorFact], responses: dict[str, float], limits: Limits) -> bool:
    """Whether the odd weight brings a response of the siblings' size: it is as large as its input asks for."""
    known = [responses[member.name] for member in members if responses.get(member.name, 0.0) > 0.0]
    if fact.name not in responses or len(known) < len(members):
        return False
    return abs(math.log(responses[fact.name] / median(known))) < math.log(limits.sibling_band)


def _is_odd(fact: TensorFact, usual: float, limits: Limits) -> bool:
    """Far from the median; where that is zero, whatever is not."""
    if usual == 0.0 or fact.rms == 0.0:
        return fact.rms != usual and (usual > 0.0 or len(fact.shape) == 1)
    error = limits.sibling_errors / math.sqrt(2 * max(1, fact.sample))
    return abs(math.log(fact.rms / usual)) > math.log(limits.sibling_factor) + error


def _is_usual(fact: TensorFact, usual: float, limits: Limits) -> bool:
    if usual == 0.0:
        return fact.rms == 0.0
    error = limits.sibling_errors / math.sqrt(2 * max(1, fact.sample))
    return fact.rms > 0.0 and abs(math.log(fact.rms / usual)) < math.log(limits.sibling_band) + error


def _finding(odd: list[TensorFact], usual: float, count: int, limits: Limits) -> Finding:
    worst = odd[0]
    ratio = worst.rms / usual if usual else math.inf
    return Finding(
        code="SZ706",
        name="inconsistent-siblings",
        severity="warning",
        where=tuple(fact.name for fact in odd),
        message=(
            f"its rms is {worst.rms:.3g} and that of its {count} siblings is {usual:.3g} in the median: a factor "
            f"{ratio:.3g} (limit {limits.sibling_factor:g} either way)"
        ),
        value=ratio,
        limit=limits.sibling_factor,
        unit="ratio",
        evidence="value",
        cause="scheme-incomplete",
        fix=Fix("draw it by the law of its siblings", worst.name),
        citation="karpathy/llama2.c#579",
    )
