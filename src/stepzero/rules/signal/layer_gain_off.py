"""SZ314."""

import statistics

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import NotJudged, Verdict, rule
from stepzero.core.trace import Trace
from stepzero.measure.local_gain import Pair, odd_slopes, slopes_in
from stepzero.measure.uses import weight_use

_FEWEST = 2
"""Draws that make a comparison."""


@rule("SZ314", "layer-gain-off", tier=2, status="preview", needs=("control",), limits=("local_gain",))
def layer_gain_off(trace: Trace, limits: Limits) -> Verdict:
    """What lies between two layers lets next to nothing of the gradient through, or multiplies it.

    What it finds
    -------------
    Two layers with a map of single numbers between them (activations, powers, products with a constant). The gradient
    in front of the second one, over that behind the first and over what the weights account for, is the slope of the
    map where the signal stands. Reported when it is below a tenth or above five, and more than a factor five from the
    median of the same network drawn by law.

    Why it matters
    --------------
    A square, a cube or a spline that is curved without a slope where the signal stands hands on hardly any gradient:
    the layers below wait until it has moved away from there. The weights look right one by one.

    When it is fine
    ---------------
    What the depth, the batch or the map itself does, it does in the drawn networks as well. Where nothing at all comes
    through, other rules tell (SZ402, SZ305). Norms, skips, pooling and gates between the layers are left out.

    Bad
    ---
    import torch
    from torch import nn

    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(32, 64), nn.Linear(64, 4)
            nn.init.normal_(self.a.weight, std=1e-3)
            nn.init.zeros_(self.a.bias)

        def forward(self, x):
            return self.b(self.a(x) ** 2)

    def build():
        torch.manual_seed(0)
        return Squares(), torch.randn(64, 32)

    expected = ("a.weight", "b.weight")

    Good
    ----
    import torch
    from torch import nn

    class Squares(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(32, 64), nn.Linear(64, 4)
            nn.init.normal_(self.a.weight, std=32**-0.5)

        def forward(self, x):
            return self.b(self.a(x) ** 2)

    def build():
        torch.manual_seed(0)
        return Squares(), torch.randn(64, 32)

    Fix
    ---
    Draw the layer in front so that its responses reach where the map has a slope, or rescale it there (`calibrate`).

    References
    ----------
    ageron/handson-ml#176; Blealtan/efficient-kan#72.
    """
    if not trace.control.ran:
        if trace.control.reason:
            yield NotJudged(f"no drawn network to compare with: {trace.control.reason}")
        return
    odd = odd_slopes(trace)
    draws = [slopes_in(trace, odd, draw) for draw in trace.control.draws] if odd else []
    for pair, own in odd.items():
        drawn = [draw[pair] for draw in draws if pair in draw]
        usual = statistics.median(drawn) if len(drawn) >= _FEWEST else 0.0
        if usual and max(own / usual, usual / own) > limits.local_gain and not min(drawn) <= own <= max(drawn):
            yield _finding(pair, own, usual, limits)


def _finding(pair: Pair, own: float, usual: float, limits: Limits) -> Finding:
    first = weight_use(pair.first)
    where = (first.parameter, pair.use.parameter) if first is not None else (pair.use.parameter,)
    return Finding(
        code="SZ314",
        name="layer-gain-off",
        severity="info",  # no training run has shown the harm yet (catalogue, section 10)
        where=tuple(dict.fromkeys(where)),
        message=(
            f"between {where[0]} and {pair.use.parameter} the slope of the map is {own:.2g}, "
            f"{usual:.2g} when drawn by law; the limit is a factor {limits.local_gain:g} either way"
        ),
        value=own / usual,
        limit=limits.local_gain,
        unit="ratio to the draws",
        evidence="control",
        cause="wrong-gain",
        fix=Fix("rescale the layer in front to unit response", where[0], "calibrate", is_safe=True),
        citation="ageron/handson-ml#176",
        operation=pair.first.index,
    )
