"""SZ608."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import InputFact, Trace
from stepzero.measure.homogeneous import Cone, cones
from stepzero.measure.uses import units


@rule(
    "SZ608",
    "zero-bias-low-dimensional-relu",
    tier=1,
    limits=("cone_dimensions", "cone_rank_line", "cone_rank_half_line"),
)
def zero_bias_low_dimensional_relu(trace: Trace, limits: Limits) -> Verdict:
    """A rectified network on one, two or three numbers has only zero biases.

    What it finds
    -------------
    A first layer that reads at most three numbers of the batch as they are, and rectifiers behind it of which none
    has a bias different from zero in front of it. Such a network is homogeneous, f(2x) = 2 f(x): every kink passes
    through the origin.

    Why it matters
    --------------
    On one number the tangent kernel of such a network has rank at most 4, whatever its width and depth (2 when the
    data has one sign): the first steps can fit four numbers, not a curve. The same holds along every line through
    the origin in two and three dimensions. Biases do move in training, so it recovers, but slowly.

    When it is fine
    ---------------
    With four inputs or more, with encoded inputs (Fourier features, one-hot), with smooth activations, with a
    constant feature among the inputs, and where a norm or a position is added before the first rectifier.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        for layer in model[::2]:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        return model, torch.rand(64, 1) * 2 - 1

    expected = ("0.bias", "2.bias")

    Good
    ----
    import torch
    from torch import nn

    def build():
        model = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 1))
        for layer in model[::2]:
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
        with torch.no_grad():
            model[0].bias.copy_(-model[0].weight[:, 0] * torch.linspace(-1, 1, 64))
        return model, torch.rand(64, 1) * 2 - 1

    Fix
    ---
    Spread the kinks over the data: b_i = -w_i . x for a training point x drawn anew for each unit.

    References
    ----------
    Sahs et al. 2022.
    """
    inputs = {fact.name: fact for fact in trace.inputs}
    said = set[tuple[str, ...]]()
    for cone in cones(trace, limits.cone_dimensions):
        fact = inputs.get(str(cone.source.attributes.get("argument", "")))
        where = _biases(cone) or tuple(use.parameter for use in cone.layer.uses)
        if _has_constant(fact) or where in said:
            continue
        said.add(where)
        yield _finding(cone, where, fact, limits)


def _biases(cone: Cone) -> tuple[str, ...]:
    uses = (use for layer in cone.layers for use in layer.uses if use.slot == "bias")
    return tuple(dict.fromkeys(use.parameter for use in uses))


def _has_constant(fact: InputFact | None) -> bool:
    """Whether a feature that does not vary and is not zero does the work of a bias."""
    if fact is None:
        return False
    pairs = zip(fact.channel_mean, fact.channel_std, strict=True)
    return any(std == 0.0 and mean != 0.0 for mean, std in pairs)


def _finding(cone: Cone, where: tuple[str, ...], fact: InputFact | None, limits: Limits) -> Finding:
    is_half = fact is not None and fact.is_float and (fact.low >= 0.0 or fact.high <= 0.0)
    rank = limits.cone_rank_half_line if is_half else limits.cone_rank_line
    width = max(units(kink) for kink in cone.kinks)
    along = "" if cone.dimensions == 1 else " along every line through it"
    kernel = f", and the tangent kernel has rank at most {rank:g}{along}" if cone.is_whole else ""
    count = f"{cone.dimensions} input{'s' if cone.dimensions > 1 else ''}"
    return Finding(
        code="SZ608",
        name="zero-bias-low-dimensional-relu",
        severity="warning",
        where=where,
        message=(
            f"{count} (limit {limits.cone_dimensions:g}) into {cone.kinks[0].name} with {width} units, and every bias "
            f"in front of a kink is 0: all kinks pass through the origin{kernel}"
        ),
        value=float(cone.dimensions),
        limit=limits.cone_dimensions,
        unit="inputs",
        evidence="fact",
        cause="bias-offset",
        fix=Fix("spread the kinks over the data: b_i = -w_i . x", parameter=where[0], scheme="kinks", is_safe=True),
        citation="Sahs et al. 2022",
        operation=cone.layer.index,
    )
