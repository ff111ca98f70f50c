"""SZ108."""

from collections.abc import Iterator

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace


@rule("SZ108", "write-without-effect", tier=2)
def write_without_effect(trace: Trace, limits: Limits) -> Verdict:
    """An initialiser wrote into a weight that the next forward computes anew.

    What it finds
    -------------
    While the factory runs, writes into the result of a parametrisation (weight norm, spectral norm, orthogonal and
    the like) are recorded. The result is computed from raw tensors at every use, so such a write is lost. Exact, no
    threshold; needs the factory.

    Why it matters
    --------------
    The initialisation that the code states never happens: the raw tensors keep what they held before. A generator
    meant to start at N(0, 0.01) starts at the framework's default.

    When it is fine
    ---------------
    Writing into the raw tensors, writing before the parametrisation is registered, and assigning the written tensor
    back (`layer.weight = w`) all have an effect and are silent.

    Bad
    ---
    import torch
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm

    def build():
        model = nn.Sequential(weight_norm(nn.Linear(32, 64)), nn.ReLU(), nn.Linear(64, 4))
        model[0].weight.data.normal_(0.0, 0.01)
        return model, torch.randn(64, 32)

    expected = ("0.parametrizations.weight.original1",)

    Good
    ----
    import torch
    from torch import nn
    from torch.nn.utils.parametrizations import weight_norm

    def build():
        layer = nn.Linear(32, 64)
        nn.init.normal_(layer.weight, 0.0, 0.01)
        return nn.Sequential(weight_norm(layer), nn.ReLU(), nn.Linear(64, 4)), torch.randn(64, 32)

    Fix
    ---
    Draw the weight before the parametrisation is registered, draw its raw tensors, or assign: `layer.weight = drawn`.

    References
    ----------
    jik876/hifi-gan#145; locuslab/TCN#1.
    """
    is_built_here = bool(trace.lost_writes) or any(module.source_line for module in trace.modules)
    if not is_built_here and any(_is_parametrised(trace)):
        yield NotJudged("needs a factory: writes are recorded while the model is built")
    for lost in trace.lost_writes:
        times, raw = "once" if lost.count == 1 else f"{lost.count} times", " and ".join(lost.raw)
        yield Finding(
            code="SZ108",
            name="write-without-effect",
            severity="warning",
            where=lost.raw,
            message=f"{lost.name} was written {times}, and every forward computes it anew from {raw}",
            value=float(lost.count),
            limit=0.0,
            unit="writes",
            evidence="fact",
            cause="write-without-effect",
            fix=Fix("draw before the parametrisation, or assign the drawn tensor back", parameter=lost.raw[-1]),
            citation="jik876/hifi-gan#145",
        )


def _is_parametrised(trace: Trace) -> Iterator[bool]:
    return ("parametrizations." in fact.name or fact.name.endswith("weight_g") for fact in trace.parameters)
