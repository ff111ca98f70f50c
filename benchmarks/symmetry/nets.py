"""Families of small random networks, each with its spaces of interchangeable units."""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Any

from torch import nn

from benchmarks.symmetry.layers import (
    HOMOGENEOUS,
    ODD,
    Act,
    Attention,
    BatchedExperts,
    Gated,
    ListedExperts,
    MeanOver,
    Recurrent,
    Residual,
    SoftMixture,
    Transposed,
)
from benchmarks.symmetry.spaces import Slot, Space

CLASSES = 4
FEATURES = 6


@dataclass(frozen=True)
class Net:
    """A model, the shape of one input, and what its units are."""

    model: nn.Module
    shape: tuple[int, ...]
    spaces: tuple[Space, ...]
    about: str
    """Activation, widths and other choices, in words."""
    head: str = "head"
    expert_lists: tuple[str, ...] = ()
    """Module lists whose members are experts of one router, each beside the router's name."""
    lumps: bool = True
    """Whether all weights between the spaces are plain, so that units can be lumped."""


def row(place: str, width: int | None = None, **where: int) -> list[Slot]:
    """Slots of a layer's weight and bias: a unit's row. ``width`` units of the weight respond for each unit."""
    size = where.get("size", 1)
    return [Slot(f"{place}.weight", responds=width or size, **where), Slot(f"{place}.bias", **where)]


def column(place: str, axis: int = 1, size: int = 1) -> list[Slot]:
    """A consumer's axis."""
    return [Slot(f"{place}.weight", axis=axis, size=size)]


def affine(place: str) -> list[Slot]:
    """Scale and shift of a norm: of the row, though no response is read there."""
    return [Slot(f"{place}.weight"), Slot(f"{place}.bias")]


def space(
    model: nn.Module, name: str, what: str, units: int, rows: list[Slot], columns: list[Slot], **kind: bool
) -> Space:
    """A space of those slots whose parameter exists."""
    names = dict(model.named_parameters())
    kept = [tuple(slot for slot in slots if slot.parameter in names) for slots in (rows, columns)]
    return Space(name, what, units, *kept, **kind)


def passes(act: str, norm: str = "none") -> dict[str, bool]:
    """Whether a sign and a factor pass through the activation of a space."""
    return {"is_odd": norm == "none" and act in ODD, "is_homogeneous": norm == "none" and act in HOMOGENEOUS}


def _norm(kind: str, width: int, *, is_map: bool) -> nn.Module:
    made: dict[str, Callable[[], nn.Module]] = {
        "none": nn.Identity,
        "batch": lambda: nn.BatchNorm2d(width) if is_map else nn.BatchNorm1d(width),
        "layer": lambda: nn.GroupNorm(1, width) if is_map else nn.LayerNorm(width),
        "two groups": lambda: nn.GroupNorm(2, width),
    }
    return made[kind]()


def mlp(random: Random) -> Net:
    """One to three hidden layers; weights as [units, inputs] or the other way about."""
    act, norm = _act(random), random.choice(["none", "none", "none", "batch", "layer"])
    widths = [random.choice([6, 9, 12]) for _ in range(random.choice([1, 2, 2, 3]))]
    is_transposed = random.random() < 0.3
    layer: Any = Transposed if is_transposed else nn.Linear
    model = nn.Sequential()
    for index, (inputs, units) in enumerate(zip([FEATURES, *widths], widths, strict=False)):
        model.add_module(f"fc{index}", layer(inputs, units))
        model.add_module(f"norm{index}", _norm(norm, units, is_map=False))
        model.add_module(f"act{index}", Act(act))
    model.add_module("head", layer(widths[-1], CLASSES))
    spaces = []
    for index, units in enumerate(widths):
        after = f"fc{index + 1}" if index + 1 < len(widths) else "head"
        bias = [Slot(f"fc{index}.bias")]
        rows = [Slot(f"fc{index}.weight", axis=1, responds=1), *bias] if is_transposed else row(f"fc{index}")
        columns = column(after, axis=0 if is_transposed else 1)
        spaces.append(
            space(model, f"h{index}", "unit", units, rows + affine(f"norm{index}"), columns, **passes(act, norm))
        )
    about = f"{act}, {widths}, norm {norm}{', transposed' if is_transposed else ''}"
    return Net(model, (FEATURES,), tuple(spaces), about)


def convolution(random: Random) -> Net:
    """Two or three convolutions, some with a depthwise one behind, then a mean or a flattened map."""
    act, norm = _act(random), random.choice(["none", "none", "batch", "layer", "two groups"])
    widths = [random.choice([6, 8, 12] if norm == "two groups" else [6, 9]) for _ in range(random.choice([2, 2, 3]))]
    is_separable, is_flat = random.random() < 0.3, random.random() < 0.4
    model = nn.Sequential()
    for index, (inputs, units) in enumerate(zip([2, *widths], widths, strict=False)):
        model.add_module(f"conv{index}", nn.Conv2d(inputs, units, 3, padding=1, stride=1 + (index == 0)))
        if is_separable:
            model.add_module(f"depth{index}", nn.Conv2d(units, units, 3, padding=1, groups=units))
        model.add_module(f"norm{index}", _norm(norm, units, is_map=True))
        model.add_module(f"act{index}", Act(act))
    model.add_module("pool", nn.Flatten() if is_flat else MeanOver(2, 3))
    model.add_module("head", nn.Linear(widths[-1] * (9 if is_flat else 1), CLASSES))
    spaces = []
    for index, units in enumerate(widths):
        is_last = index + 1 == len(widths)
        columns = column("head", size=9 if is_flat else 1) if is_last else column(f"conv{index + 1}")
        rows = row(f"conv{index}") + row(f"depth{index}") + affine(f"norm{index}")
        kind = {} if is_separable else passes(act, norm)
        spaces.append(space(model, f"h{index}", "unit", units, rows, columns, **kind))
    about = f"{act}, {widths}, norm {norm}{', depthwise' * is_separable}{', flattened' * is_flat}"
    return Net(model, (2, 6, 6), tuple(spaces), about)


def residual(random: Random) -> Net:
    """A stream that blocks of two layers add to."""
    act, norm = _act(random), random.choice(["none", "layer"])
    stream, blocks = random.choice([6, 9]), random.choice([1, 2])
    widths = [random.choice([6, 9, 12]) for _ in range(blocks)]
    model = nn.Sequential()
    model.add_module("embed", nn.Linear(FEATURES, stream))
    for index, units in enumerate(widths):
        body = nn.Sequential()
        body.add_module("norm", _norm(norm, stream, is_map=False))
        body.add_module("up", nn.Linear(stream, units))
        body.add_module("act", Act(act))
        body.add_module("down", nn.Linear(units, stream))
        model.add_module(f"block{index}", Residual(body))
    model.add_module("head", nn.Linear(stream, CLASSES))
    bodies = [f"block{index}.body" for index in range(blocks)]
    hidden = [
        space(model, body, "unit", units, row(f"{body}.up"), column(f"{body}.down"), **passes(act))
        for body, units in zip(bodies, widths, strict=True)
    ]
    rows = row("embed") + [slot for body in bodies for slot in row(f"{body}.down") + affine(f"{body}.norm")]
    columns = [slot for body in bodies for slot in column(f"{body}.up")] + column("head")
    across = space(model, "stream", "stream", stream, rows, columns)
    return Net(model, (FEATURES,), (*hidden, across), f"{act}, stream {stream}, {widths}, norm {norm}")


def attention(random: Random) -> Net:
    """One transformer block with a norm before each branch."""
    act, heads, size = _act(random), random.choice([2, 3, 4]), random.choice([2, 3])
    is_packed, is_fused, units = random.random() < 0.5, random.random() < 0.5, random.choice([6, 9])
    stream = heads * size
    model = nn.Sequential()
    model.add_module("embed", nn.Linear(FEATURES, stream))
    mixing = nn.Sequential()
    mixing.add_module("norm", nn.LayerNorm(stream))
    mixing.add_module("heads", Attention(stream, heads, is_packed=is_packed, is_fused=is_fused))
    branch = nn.Sequential()
    for name, module in (("norm", nn.LayerNorm(stream)), ("up", nn.Linear(stream, units)), ("act", Act(act))):
        branch.add_module(name, module)
    branch.add_module("down", nn.Linear(units, stream))
    for name, module in (("mix", Residual(mixing)), ("mlp", Residual(branch)), ("pool", MeanOver(1))):
        model.add_module(name, module)
    model.add_module("head", nn.Linear(stream, CLASSES))
    place = "mix.body.heads"
    projections = [f"{place}.qkv"] if is_packed else [f"{place}.{name}" for name in "qkv"]
    readers = [slot for name in projections for slot in row(name, size=size, repeat=3 if is_packed else 1)]
    head_space = space(model, "heads", "head", heads, readers, column(f"{place}.out", size=size))
    hidden = space(model, "mlp", "unit", units, row("mlp.body.up"), column("mlp.body.down"), **passes(act))
    rows = row("embed") + row(f"{place}.out") + row("mlp.body.down") + affine("mix.body.norm") + affine("mlp.body.norm")
    columns = [slot for name in (*projections, "mlp.body.up", "head") for slot in column(name)]
    across = space(model, "stream", "stream", stream, rows, columns)
    about = f"{act}, {heads} heads of {size}, mlp {units}{', packed' * is_packed}{', fused' * is_fused}"
    return Net(model, (4, FEATURES), (head_space, hidden, across), about, lumps=False)


def mixture(random: Random) -> Net:
    """Experts weighed by a router, in one tensor or in a list."""
    act, count, hidden, stream = _act(random), random.choice([3, 4]), random.choice([4, 6]), 6
    kind = random.choice(["einsum", "baddbmm", "list"])
    if kind == "list":
        experts: nn.Module = ListedExperts(count, stream, hidden, act)
    else:
        experts = BatchedExperts(count, stream, hidden, act, by_einsum=kind == "einsum")
    model = nn.Sequential()
    model.add_module("embed", nn.Linear(FEATURES, stream))
    model.add_module("first", Act(act))
    model.add_module("moe", SoftMixture(stream, experts, count))
    model.add_module("head", nn.Linear(stream, CLASSES))
    columns = [Slot("moe.router.weight", axis=1)]
    if kind == "list":
        places = [f"moe.experts.{index}" for index in range(count)]
        spaces = [
            space(model, place, "unit", hidden, row(f"{place}.0"), column(f"{place}.2"), **passes(act))
            for place in places
        ]
        columns += [Slot(f"{place}.0.weight", axis=1) for place in places]
    else:
        rows = row("moe.experts.up", hidden) + row("moe.experts.down", stream) + row("moe.router")
        spaces = [space(model, "experts", "expert", count, rows, [])]
        columns += [Slot("moe.experts.up.weight", axis=1)]
    entry = space(model, "embed", "unit", stream, row("embed"), columns, **passes(act))
    lists = ("moe",) if kind == "list" else ()
    return Net(
        model,
        (FEATURES,),
        (*spaces, entry),
        f"{act}, {count} experts of {hidden}, {kind}",
        expert_lists=lists,
        lumps=False,
    )


def gated(random: Random) -> Net:
    """Two gated layers in a row."""
    act, widths = random.choice(["silu", "gelu", "sigmoid"]), [random.choice([6, 9]) for _ in range(2)]
    middle = random.choice([6, 9])
    model = nn.Sequential()
    model.add_module("one", Gated(FEATURES, widths[0], middle, act))
    model.add_module("two", Gated(middle, widths[1], CLASSES, act))
    hidden = [
        space(model, name, "unit", units, row(f"{name}.gate") + row(f"{name}.up"), column(f"{name}.down"))
        for name, units in zip(("one", "two"), widths, strict=True)
    ]
    columns = column("two.gate") + column("two.up")
    between = space(model, "middle", "unit", middle, row("one.down"), columns, is_odd=True, is_homogeneous=True)
    return Net(model, (FEATURES,), (*hidden, between), f"{act}, {widths}, middle {middle}", head="two.down")


def recurrent(random: Random) -> Net:
    """A plain recurrent cell over five moments."""
    act, units = random.choice(["tanh", "relu", "gelu"]), random.choice([6, 9])
    model = nn.Sequential()
    model.add_module("cell", Recurrent(3, units, act))
    model.add_module("head", nn.Linear(units, CLASSES))
    columns = column("cell.keep") + column("head")
    state = space(model, "state", "unit", units, row("cell.read") + row("cell.keep"), columns, **passes(act))
    return Net(model, (5, 3), (state,), f"{act}, {units} states")


def _act(random: Random) -> str:
    return random.choice(["tanh", "tanh", "softsign", "sin", "relu", "relu", "leaky", "gelu", "silu", "sigmoid"])


FAMILIES: dict[str, Callable[[Random], Net]] = {
    "mlp": mlp,
    "convolution": convolution,
    "residual": residual,
    "attention": attention,
    "mixture": mixture,
    "gated": gated,
    "recurrent": recurrent,
}
