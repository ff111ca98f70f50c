"""SZ205."""

from stepzero.core.control import Range
from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import before, units, weight_use

_LIMITS = ("rank_ratio", "rank_min", "rank_of_input")


@rule("SZ205", "low-effective-rank", tier=2, needs=("control",), limits=_LIMITS)
def low_effective_rank(trace: Trace, limits: Limits) -> Verdict:
    """A layer's responses lie in far fewer directions than those of the same layer drawn by law.

    What it finds
    -------------
    The entropy rank of a layer's centred responses (over how many directions their variance is spread) against the
    same model with every tensor drawn by its law, on the same batch, four times. Reported when it is below a quarter
    of the median, outside the range of the draws, and what the layer reads has kept half of its directions at least.
    Drawn networks are only compared with when the first pass finds responses in few directions.

    Why it matters
    --------------
    Units that respond alike are told apart slowly: whatever the layers above want to know about the input has to pass
    a few directions. Weights of one sign (a uniform draw from 0 up) are the usual reason: every unit sees the sum.

    When it is fine
    ---------------
    Bottlenecks, narrow inputs, pooled tokens and depth itself lower the rank of the drawn networks as well. Attention
    that starts out uniform hands the same mean to every place; the layer behind it is not to blame. Layers of which
    the draws have fewer than eight directions are not judged. Exact copies are SZ201 and SZ202.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        layers = [nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)]
        nn.init.uniform_(layers[2].weight, 0.0, 0.1)
        return nn.Sequential(*layers), torch.randn(64, 32)

    expected = ("2.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        layers = [nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4)]
        nn.init.uniform_(layers[2].weight, -0.1, 0.1)
        return nn.Sequential(*layers), torch.randn(64, 32)

    Fix
    ---
    Draw the layer by its law, around zero; orthogonal weights and skips keep all directions.

    References
    ----------
    Schoenholz et al. 2017; Mellor et al. 2021; Roy & Vetterli 2007 (the measure).
    """
    if not trace.control.ran:
        if trace.control.reason:
            yield NotJudged(f"no drawn network to compare with: {trace.control.reason}")
        return
    seen: set[str] = set()
    for operation in trace.weighted():
        use, found = weight_use(operation), _ratio(trace, operation)
        if use is None or found is None or use.parameter in seen:
            continue
        ratio, own, drawn = found
        is_low = ratio < limits.rank_ratio and own < drawn.low and drawn.low >= limits.rank_min
        if not is_low or own == 0.0 or _is_handed_on(trace, operation, limits):
            continue
        seen.add(use.parameter)
        yield _finding(operation, use.parameter, found, limits)


def _ratio(trace: Trace, operation: Operation) -> tuple[float, float, Range] | None:
    own, drawn = trace.control.own_at("rank", operation.index), trace.control.at("rank", operation.index)
    return None if own is None or drawn is None or not drawn.median else (drawn.ratio(own), own, drawn)


def _is_handed_on(trace: Trace, operation: Operation, limits: Limits) -> bool:
    """Whether what the layer reads has lost its directions already, or cannot be told.

    Heads lie side by side in front of the layer that joins them, and one above the other where they were measured.
    """
    source = before(trace, operation)
    if source is not None and source.kind in ("product", "attention"):
        return True
    found = _ratio(trace, source) if source is not None else None
    return found is None or found[0] < limits.rank_of_input


def _finding(operation: Operation, name: str, found: tuple[float, float, Range], limits: Limits) -> Finding:
    ratio, own, drawn = found
    return Finding(
        code="SZ205",
        name="low-effective-rank",
        severity="warning",
        where=(name,),
        message=(
            f"the {units(operation)} units of {name} respond along {own:.2g} directions, {ratio:.2g} of the "
            f"{drawn.words}; the limit is {limits.rank_ratio:g}"
        ),
        value=ratio,
        limit=limits.rank_ratio,
        unit="of the control's entropy rank",
        evidence="control",
        fix=Fix("draw it by its law", name, "law", is_safe=True),
        citation="Schoenholz et al. 2017",
        operation=operation.index,
    )
