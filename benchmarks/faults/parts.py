"""Where a fault can be planted: weights with their true fans, and what follows what, told by running the model."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults.subject import Subject

ADAPTER = ("lora_a", "lora_b")
_NORMS = (
    "LayerNorm",
    "BatchNorm1d",
    "BatchNorm2d",
    "GroupNorm",
    "LayerNorm2d",
    "RMSNorm",
    "LlamaRMSNorm",
    "Qwen2RMSNorm",
)


@dataclass(frozen=True, eq=False)
class Weight:
    """A trainable matrix or kernel: the axis that counts its units and the axes it sums over."""

    name: str
    value: nn.Parameter
    units: tuple[int, ...]
    sums: tuple[int, ...]
    owner: nn.Module
    path: str

    @property
    def places(self) -> tuple[str, ...]:
        """What a report may call it: the parameter, or the layer when that is all the layer is for."""
        return (self.name, self.path) if self.name.endswith("weight") else (self.name,)

    @property
    def bias(self) -> Tensor | None:
        """The bias of the same layer, if it has one."""
        found = getattr(self.owner, "bias", None)
        return found if isinstance(found, Tensor) and self.name.endswith("weight") else None

    @property
    def groups(self) -> int:
        return int(getattr(self.owner, "groups", 1))

    @property
    def fan_in(self) -> int:
        """How many products one sum of the output has."""
        fan = _product(self.value.shape[axis] for axis in self.sums)
        if isinstance(self.owner, nn.ConvTranspose2d):
            return max(1, fan // self.groups // _product(self.owner.stride))
        return fan

    @property
    def rows(self) -> Tensor:
        """Units first, everything that is summed behind: a view of the weight, or a copy where none exists."""
        order = (*self.units, *self.sums)
        return self.value.permute(order).reshape(_product(self.value.shape[axis] for axis in self.units), -1)

    def set_rows(self, rows: Tensor) -> None:
        """Write what `rows` gives."""
        order = (*self.units, *self.sums)
        shape = [self.value.shape[axis] for axis in order]
        back = sorted(range(len(order)), key=order.__getitem__)
        self.value.copy_(rows.reshape(shape).permute(back))


def _product(sizes: Any) -> int:
    total = 1
    for size in sizes:
        total *= int(size)
    return total


def weights(model: nn.Module) -> list[Weight]:
    """Every trainable weight of a layer, in the order of definition; tables of symbols are none."""
    found = []
    for path, module in model.named_modules():
        for name, (units, sums) in _axes(module).items():
            value = getattr(module, name)
            if value.requires_grad:
                found.append(Weight(f"{path}.{name}".lstrip("."), value, units, sums, module, path))
    return found


def _axes(module: nn.Module) -> dict[str, tuple[tuple[int, ...], tuple[int, ...]]]:
    if isinstance(module, nn.Linear):
        return {"weight": ((0,), (1,))}
    if isinstance(module, nn.Conv2d):
        return {"weight": ((0,), (1, 2, 3))}
    if isinstance(module, nn.ConvTranspose2d):
        return {"weight": ((1,), (0, 2, 3))}
    if type(module).__name__ == "Conv1D":  # transformers: stored as [inputs, units]
        return {"weight": ((1,), (0,))}
    return dict(getattr(module, "AXES", {}))


def in_order(subject: Subject) -> list[Weight]:
    """The weights in the order in which their layers are first called; the last one is the head."""
    found = weights(subject.model)
    called: dict[int, int] = {}

    def note(module: nn.Module, _: Any) -> None:
        called.setdefault(id(module), len(called))

    hooks = [weight.owner.register_forward_pre_hook(note) for weight in found]
    run(subject.model, subject.few())
    for hook in hooks:
        hook.remove()
    return sorted((each for each in found if id(each.owner) in called), key=lambda each: called[id(each.owner)])


def hidden(subject: Subject) -> list[Weight]:
    """All but the head and the factors of adapters."""
    return [each for each in in_order(subject)[:-1] if not is_adapter(each)]


def is_adapter(weight: Weight) -> bool:
    return weight.path.rpartition(".")[2] in ADAPTER


def norms(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Norms with a gain."""
    named = [(name, module) for name, module in model.named_modules() if type(module).__name__ in _NORMS]
    return [(name, module) for name, module in named if getattr(module, "weight", None) is not None]


@torch.no_grad()
def run(model: nn.Module, inputs: Tensor) -> Tensor:
    """The (first) output, with the random numbers of seed 0 and no trace left in the buffers."""
    kept = {name: value.clone() for name, value in model.named_buffers()}
    with torch.random.fork_rng():
        torch.manual_seed(0)
        output = model(inputs)
    for name, value in model.named_buffers():
        value.copy_(kept[name])
    first = output[0] if isinstance(output, tuple) else output
    assert isinstance(first, Tensor)
    return first.detach()


def is_constant(subject: Subject) -> bool:
    """Whether every sample gets the same answer."""
    output = run(subject.model, subject.few()).flatten(1)
    return bool((output - output[:1]).abs().max() <= 1e-6 * output.abs().max().clamp_min(1e-12))


def gradients(subject: Subject) -> dict[str, Tensor]:
    """Gradient of the loss on the first samples, by parameter; zeros where there is none."""
    model, kept = subject.model, {name: value.clone() for name, value in subject.model.named_buffers()}
    named = {name: value for name, value in model.named_parameters() if value.requires_grad}
    with torch.random.fork_rng(), torch.enable_grad():
        torch.manual_seed(0)
        loss = subject.loss(model(subject.few(32)), subject.targets[:32])
        found = torch.autograd.grad(loss, list(named.values()), allow_unused=True)
    with torch.no_grad():
        for name, value in model.named_buffers():
            value.copy_(kept[name])
    return {
        name: torch.zeros_like(value) if each is None else each
        for (name, value), each in zip(named.items(), found, strict=True)
    }


@dataclass(frozen=True, eq=False)
class Pair:
    """A layer and the only one that reads its units; ``spread`` columns of the reader belong to each unit."""

    first: Weight
    second: Weight
    spread: int

    @property
    def columns(self) -> Tensor:
        """The reader's weight as [its units, units of the first, the rest]; see `set_columns`."""
        value = self.second.value.movedim(self.second.sums[0], 1) if self.second.units == (0,) else None
        assert value is not None
        return value.reshape(value.shape[0], value.shape[1] // self.spread, -1)

    def set_columns(self, columns: Tensor) -> None:
        self.second.value.copy_(columns.reshape(self.second.value.shape))


def pairs(subject: Subject) -> list[Pair]:
    """Layers whose every unit is read by one other layer alone, at its own place and nowhere else.

    Told by perturbing one unit: it may change the reader's input at that unit only.
    """
    found = in_order(subject)
    layers = [each for each in found if each.units == (0,) and each.groups == 1 and each.name.endswith("weight")]
    heard = {id(each.owner): _heard(subject, each) for each in layers}
    plain = heard_inputs(subject, layers)
    pairs_found = []
    for first in layers:
        changed = heard[id(first.owner)]
        readers = [each for each in layers if each is not first and _differs(plain, changed, each)]
        direct = [each for each in readers if (spread := _reads(plain, changed, first, each)) is not None]
        if direct and readers[0] is direct[0]:
            spread = _reads(plain, changed, first, direct[0])
            assert spread is not None
            pairs_found.append(Pair(first, direct[0], spread))
    return [pair for pair in pairs_found if _makes_twins(subject, pair)]


def heard_inputs(subject: Subject, layers: list[Weight]) -> dict[int, Tensor]:
    """What each layer reads."""
    heard: dict[int, Tensor] = {}

    def note(module: nn.Module, args: tuple[Any, ...]) -> None:
        heard.setdefault(id(module), args[0].detach().clone())

    hooks = [each.owner.register_forward_pre_hook(note) for each in layers]
    run(subject.model, subject.few())
    for hook in hooks:
        hook.remove()
    return heard


def _heard(subject: Subject, first: Weight) -> dict[int, Tensor]:
    layers = weights(subject.model)
    kept = first.value.detach().clone()
    with torch.no_grad():
        first.value[0].add_(torch.full_like(first.value[0], 2.0 * float(kept.abs().mean() + 1e-3)))
    heard = heard_inputs(subject, layers)
    with torch.no_grad():
        first.value.copy_(kept)
    return heard


def _differs(plain: dict[int, Tensor], changed: dict[int, Tensor], layer: Weight) -> bool:
    one, other = plain.get(id(layer.owner)), changed.get(id(layer.owner))
    return one is not None and other is not None and not torch.equal(one, other)


def _reads(plain: dict[int, Tensor], changed: dict[int, Tensor], first: Weight, second: Weight) -> int | None:
    """Columns of the reader for each unit, when it hears nothing else of that unit."""
    difference = (plain[id(second.owner)] - changed[id(second.owner)]).abs()
    axis = 1 if isinstance(second.owner, nn.Conv2d) else -1
    by_column = difference.movedim(axis, 0).flatten(1).sum(1)
    units = first.value.shape[0]
    spread, rest = divmod(len(by_column), units)
    if rest or not spread:
        return None
    return spread if bool((by_column[spread:] == 0).all()) else None


@torch.no_grad()
def copy_units_(pair: Pair, source: int, target: int, sign: float = 1.0) -> None:
    """Make one unit the copy of another: its row, bias and columns, all times ``sign``."""
    pair.first.value[target] = sign * pair.first.value[source]
    if pair.first.bias is not None:
        pair.first.bias[target] = sign * pair.first.bias[source]
    columns = pair.columns.clone()
    columns[:, target] = sign * columns[:, source]
    pair.set_columns(columns)


def _makes_twins(subject: Subject, pair: Pair) -> bool:
    """Whether copied units then have equal gradients, of rows and of columns: nothing else tells them apart."""
    kept = [each.detach().clone() for each in subject.model.parameters()]
    copy_units_(pair, 0, 1)
    found = gradients(subject)
    with torch.no_grad():
        for parameter, value in zip(subject.model.parameters(), kept, strict=True):
            parameter.copy_(value)
    rows, columns = found[pair.first.name], found[pair.second.name]
    by_unit = columns.reshape(columns.shape[0], columns.shape[1] // pair.spread, -1)
    return _alike(rows[0], rows[1], rows) and _alike(by_unit[:, 0], by_unit[:, 1], columns)


def _alike(one: Tensor, other: Tensor, all_of_them: Tensor) -> bool:
    scale = float(all_of_them.abs().max())
    return scale > 0 and bool((one - other).abs().max() <= 1e-4 * scale)


def followed(subject: Subject, *kinds: type[nn.Module]) -> Iterator[Weight]:
    """Layers whose result goes into one of these activations, in a `Sequential`."""
    named = {id(each.owner): each for each in in_order(subject)}
    for module in subject.model.modules():
        row = list(module) if isinstance(module, nn.Sequential) else []
        for layer, after in itertools.pairwise(each for each in row if not isinstance(each, nn.Identity)):
            if id(layer) in named and isinstance(after, kinds):
                yield named[id(layer)]
