"""SZ702."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.adapters import Pair, alignment, is_split_off, pairs
from stepzero.measure.meetings import ZeroPaths
from stepzero.measure.roundoff import unit_roundoff
from stepzero.measure.uses import weight_use
from stepzero.measure.words import enumerated


@rule("SZ702", "adapter-off-identity", tier=1, limits=("adapter_share", "adapter_split", "equality_roundoffs"))
def adapter_off_identity(trace: Trace, limits: Limits) -> Verdict:
    """A low-rank adapter changes what its frozen base computes before it has learnt anything.

    What it finds
    -------------
    Two weights in a row, the first with fewer outputs than inputs, whose result is added to that of a frozen weight
    that reads the same input, both as modules and written out. Compared is the rms of what they add with the rms of
    what the frozen weight returns; an adapter that starts as the identity adds exactly zero.

    Why it matters
    --------------
    Fine-tuning starts from the pretrained function. Two random factors add noise of rank r to every layer they sit
    beside; the noise of many layers compounds, and the first steps are spent on undoing it.

    When it is fine
    ---------------
    Either factor may be the zero one. A pair that was split off the base (its singular vectors, a QR decomposition)
    leaves the sum as it was: it is told by its output directions, along which nothing of the base is left, or a
    multiple of the adapter itself, and is silent. A pair that was trained before and loaded is not zero either, and
    nothing in one pass tells it from a random one: ignore the rule there. A pair beside a weight that trains is a
    layer, not an adapter.

    Bad
    ---
    import torch
    from torch import nn

    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(32, 32).requires_grad_(False)
            self.down, self.up = nn.Linear(32, 4, bias=False), nn.Linear(4, 32, bias=False)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x))

    def build():
        torch.manual_seed(0)
        return Adapted(), torch.randn(16, 32)

    expected = ("up.weight",)

    Good
    ----
    import torch
    from torch import nn

    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base = nn.Linear(32, 32).requires_grad_(False)
            self.down, self.up = nn.Linear(32, 4, bias=False), nn.Linear(4, 32, bias=False)
            nn.init.zeros_(self.up.weight)

        def forward(self, x):
            return self.base(x) + self.up(self.down(x))

    def build():
        torch.manual_seed(0)
        return Adapted(), torch.randn(16, 32)

    Fix
    ---
    Start the factor next to the output at zero and keep the other one random.

    References
    ----------
    Hu et al. 2021 (LoRA); Meng et al. 2024 (PiSSA); mflux-community/mflux#739; hao-ai-lab/FastVideo#781.
    """
    paths = ZeroPaths(trace)
    for pair in pairs(paths):
        share = pair.share
        if share is None or share <= limits.adapter_share:
            continue
        aligned = alignment(paths, pair)
        tolerance = max(limits.adapter_split, limits.equality_roundoffs * unit_roundoff(pair.base.dtype))
        if (aligned is None or aligned > tolerance) and not is_split_off(paths, pair, tolerance):
            yield _finding(paths, pair, share, limits)


def _finding(paths: ZeroPaths, pair: Pair, share: float, limits: Limits) -> Finding:
    base, trainable = weight_use(pair.base), _trainable(paths, pair)
    return Finding(
        code="SZ702",
        name="adapter-off-identity",
        severity="warning",
        where=trainable,
        message=(
            f"{enumerated(pair.parameters)} add {share:.2g} of the rms of the frozen {base.parameter if base else ''} "
            f"to its result; an adapter at the identity adds 0, the limit is {limits.adapter_share:g}"
        ),
        value=share,
        limit=limits.adapter_share,
        unit="of the rms of the base",
        evidence="value",
        fix=Fix("set the factor next to the output to zero", parameter=trainable[0], scheme="zeros", is_safe=True),
        citation="Hu et al. 2021 (LoRA); mflux-community/mflux#739",
        operation=pair.last.index,
    )


def _trainable(paths: ZeroPaths, pair: Pair) -> tuple[str, ...]:
    """What is trained and not zero, from the output to the input; a bias counts when the weight beside it is zero."""
    biases = [use.parameter for use in pair.last.uses if use.slot == "bias"]
    facts = [paths.facts[name] for name in (*pair.parameters[::-1], *biases) if name in paths.facts]
    trained = [fact for fact in facts if fact.requires_grad]
    return tuple(fact.name for fact in trained if not fact.is_zero) or tuple(fact.name for fact in trained)
