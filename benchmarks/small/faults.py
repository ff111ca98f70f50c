"""Faults of initialisation, planted in a copy of a sound network by the kind of its parts.

Each one writes into the model and says where, or says nothing when the model has no such part.
"""

import itertools
from collections.abc import Callable, Iterator
from random import Random

import torch
from torch import Tensor, nn

from benchmarks.small.nets import Attention, Block, Gated, Mixture, Product

Fault = Callable[[nn.Module, Random], str]

_MATRICES = (nn.Linear, nn.Conv2d)
_NORMS = (nn.LayerNorm, nn.BatchNorm2d)


def layers(model: nn.Module) -> list[tuple[str, nn.Module]]:
    """Linear and convolutional layers as they were defined; the last one is the head."""
    return [(name, module) for name, module in model.named_modules() if isinstance(module, _MATRICES)]


def matrices(model: nn.Module) -> list[tuple[str, Tensor]]:
    """Weights of two axes and more."""
    return [(name, value) for name, value in model.named_parameters() if value.dim() > 1]


def pairs(model: nn.Module) -> Iterator[tuple[str, nn.Module, nn.Module]]:
    """A layer and the only one that reads its units, with an elementwise function between."""
    for place, module in model.named_modules():
        if isinstance(module, nn.Sequential):
            row = list(module)
            for first, second in zip(row, row[2:], strict=False):
                if isinstance(first, nn.Linear) and isinstance(second, nn.Linear):
                    yield place, first, second
        elif isinstance(module, Block):
            yield place, module.first, module.second


def followed(model: nn.Module, *kinds: type[nn.Module]) -> list[tuple[str, nn.Module]]:
    """Layers whose result goes straight into one of these activations."""
    found = []
    for place, module in model.named_modules():
        row = list(module.named_children()) if isinstance(module, nn.Sequential) else []
        for (name, layer), (_, after) in itertools.pairwise(row):
            if isinstance(layer, _MATRICES) and isinstance(after, kinds):
                found.append((f"{place}.{name}".lstrip("."), layer))
        if isinstance(module, Block) and nn.ReLU in kinds:
            found.append((f"{place}.first", module.first))
    return found


def _hidden(model: nn.Module, rng: Random) -> tuple[str, nn.Module] | None:
    inner = layers(model)[:-1]
    return rng.choice(inner) if inner else None


def _zero(model: nn.Module, rng: Random) -> str:
    if (found := _hidden(model, rng)) is None:
        return ""
    for parameter in found[1].parameters():
        parameter.zero_()
    return found[0]


def _all_zero(model: nn.Module, _: Random) -> str:
    for _name, weight in matrices(model):
        weight.zero_()
    return "all weights"


def _constant(model: nn.Module, rng: Random) -> str:
    if (found := _hidden(model, rng)) is None:
        return ""
    weight, bias = found[1].weight, found[1].bias
    weight.fill_(float(weight.std()))
    if bias is not None:
        bias.zero_()
    return found[0]


def _all_constant(model: nn.Module, _: Random) -> str:
    for _name, weight in matrices(model):
        weight.fill_(0.01)
    return "all weights"


def _copied(model: nn.Module, rng: Random) -> str:
    found = list(pairs(model))
    if not found:
        return ""
    place, first, second = rng.choice(found)
    for parameter in first.parameters():
        parameter.copy_(parameter[:1].clone().expand_as(parameter))
    second.weight.copy_(second.weight[:, :1].clone().expand_as(second.weight))
    return place or "layers"


def _tiny(model: nn.Module, _: Random) -> str:
    for _name, weight in matrices(model):
        weight.mul_(0.02)
    return "all weights"


def _huge(model: nn.Module, _: Random) -> str:
    for _name, weight in matrices(model):
        weight.mul_(20.0)
    return "all weights"


def _one_huge(model: nn.Module, rng: Random) -> str:
    if (found := _hidden(model, rng)) is None:
        return ""
    found[1].weight.mul_(300.0)
    return found[0]


def _dead_bias(model: nn.Module, rng: Random) -> str:
    found = followed(model, nn.ReLU)
    if not found:
        return ""
    name, layer = rng.choice(found)
    if layer.bias is None:
        return ""
    layer.bias.fill_(-10.0)
    return name


def _saturating(model: nn.Module, rng: Random) -> str:
    found = followed(model, nn.Tanh, nn.Sigmoid)
    if not found:
        return ""
    name, layer = rng.choice(found)
    signs = [rng.choice((-12.0, 12.0)) for _ in layer.bias]
    layer.bias.copy_(torch.tensor(signs))
    return name


def _dead_product(model: nn.Module, _: Random) -> str:
    found = [(name, each) for name, each in model.named_modules() if isinstance(each, Gated | Product)]
    if not found:
        return ""
    for _name, each in found:
        for parameter in (*each.gate.parameters(), *each.up.parameters()):
            parameter.zero_()
    return ", ".join(name for name, _each in found) or "gate and up"


def _loud_head(model: nn.Module, _: Random) -> str:
    name, head = layers(model)[-1]
    head.weight.mul_(100.0)
    return name


def _equal_experts(model: nn.Module, _: Random) -> str:
    if not isinstance(model, Mixture):
        return ""
    for expert in model.experts[1:]:
        expert.load_state_dict(model.experts[0].state_dict())
    model.router.weight.zero_()
    model.router.bias.zero_()
    return "experts"


def _not_a_number(model: nn.Module, rng: Random) -> str:
    name, weight = rng.choice(matrices(model))
    weight.view(-1)[rng.randrange(weight.numel())] = float("nan")
    return name


def _outlier(model: nn.Module, rng: Random) -> str:
    name, weight = rng.choice(matrices(model))
    weight.view(-1)[rng.randrange(weight.numel())] = 1e4
    return name


def _zero_gain(model: nn.Module, _: Random) -> str:
    found = [(name, each) for name, each in model.named_modules() if isinstance(each, _NORMS)]
    for _name, norm in found:
        norm.weight.zero_()
    return "all norms" if found else ""


def _permuted_fan(model: nn.Module, rng: Random) -> str:
    """The fan read off the wrong axis: of a depthwise kernel, of an expert, of a narrowing layer."""
    for _, layer in layers(model):
        draw = torch.Generator().manual_seed(rng.randrange(2**31))
        shape = layer.weight.shape
        wrong = shape[0] if layer.weight.dim() == 2 else shape[0] * shape[2] * shape[3]
        layer.weight.normal_(0.0, (2.0 / wrong) ** 0.5, generator=draw)
    return "all weights"


def _closed_gate(model: nn.Module, _: Random) -> str:
    """A recurrent cell that forgets everything (LSTM) or keeps its zero state (GRU); a gated unit that is shut."""
    places = []
    for name, module in model.named_modules():
        if isinstance(module, nn.LSTM | nn.GRU):
            size, is_lstm = module.hidden_size, isinstance(module, nn.LSTM)
            module.bias_ih_l0[size : 2 * size] = -10.0 if is_lstm else 12.0
            places.append(name)
        elif isinstance(module, Gated):
            module.gate.bias.fill_(-20.0)
            places.append(name)
    return ", ".join(places)


def _sharp_attention(model: nn.Module, _: Random) -> str:
    found = [(name, each) for name, each in model.named_modules() if isinstance(each, Attention)]
    for _name, each in found:
        width = each.out.in_features
        each.packed.weight[: 2 * width].mul_(30.0)
    return ", ".join(name for name, _ in found)


def _loud_branch(model: nn.Module, _: Random) -> str:
    found = [each for each in model.modules() if isinstance(each, Block | Gated)]
    for each in found:
        (each.second if isinstance(each, Block) else each.down).weight.mul_(50.0)
    return "all branches" if found else ""


FAULTS: dict[str, Fault] = {
    "zero layer": _zero, "all weights zero": _all_zero, "constant layer": _constant,
    "all weights constant": _all_constant, "copied units": _copied, "tiny": _tiny, "huge": _huge,
    "one layer huge": _one_huge, "dead bias": _dead_bias, "saturating bias": _saturating,
    "dead product": _dead_product, "loud head": _loud_head, "equal experts": _equal_experts,
    "NaN element": _not_a_number, "outlier element": _outlier, "zero norm gain": _zero_gain,
    "permuted fan": _permuted_fan, "closed gate": _closed_gate, "sharp attention": _sharp_attention,
    "loud branches": _loud_branch,
}  # fmt: skip


def plant(model: nn.Module, kind: str, seed: int) -> str:
    """Write a fault of that kind; where it is, or nothing when it does not apply."""
    with torch.no_grad():
        return FAULTS[kind](model, Random(f"{kind} {seed}"))
