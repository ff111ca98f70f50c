"""Faults that stop gradients or make parts equal: zeros, dead units, copies, cuts."""

import itertools
from collections.abc import Callable, Iterator
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import heads, parts
from benchmarks.faults.kind import Kind, Site, kind, normal_
from benchmarks.faults.parts import Pair, Weight
from benchmarks.faults.subject import Subject


def _zero_(weight: Weight) -> None:
    weight.value.zero_()
    if weight.bias is not None:
        weight.bias.zero_()


def _on_main_path(subject: Subject, weight: Weight) -> bool:
    """Whether nothing of the input gets past this layer when it is zero."""
    kept = [weight.value.clone(), None if weight.bias is None else weight.bias.clone()]
    _zero_(weight)
    answer = parts.is_constant(subject)
    weight.value.copy_(kept[0])
    if weight.bias is not None:
        weight.bias.copy_(kept[1])
    return answer


def _zero_layer(subject: Subject) -> Iterator[Site]:
    for weight in parts.hidden(subject):
        if _on_main_path(subject, weight):
            yield Site(weight.places, lambda _, weight=weight: _zero_(weight))


def _two_zero_layers(subject: Subject) -> Iterator[Site]:
    found = [weight for weight in parts.hidden(subject) if _on_main_path(subject, weight)]
    for one, other in itertools.pairwise(found):
        yield Site((*one.places, *other.places), lambda _, two=(one, other): [_zero_(each) for each in two])


def _all_zero(subject: Subject) -> Iterator[Site]:
    found = [weight for weight in parts.in_order(subject) if not parts.is_adapter(weight)]
    yield Site((), lambda _: [_zero_(weight) for weight in found])


def _dead_bias(subject: Subject) -> Iterator[Site]:
    for weight in parts.followed(subject, nn.ReLU):
        if weight.bias is not None:
            yield Site(_with_bias(weight), lambda _, weight=weight: weight.bias.fill_(-12.0))


def _saturating(subject: Subject) -> Iterator[Site]:
    for weight in parts.followed(subject, nn.Tanh, nn.Sigmoid):
        yield Site(_with_bias(weight), partial(_push, weight))


def _push(weight: Weight, rng: Random) -> None:
    assert weight.bias is not None
    weight.bias.copy_(torch.tensor([rng.choice((-12.0, 12.0)) for _ in range(len(weight.bias))]))


def _with_bias(weight: Weight) -> tuple[str, ...]:
    return (weight.name, weight.name.removesuffix("weight") + "bias")


def _dead_output(subject: Subject) -> Iterator[Site]:
    """A positive answer that is negative everywhere before its ReLU."""
    model = subject.model
    if isinstance(model, nn.Sequential) and isinstance(model[-1], nn.ReLU):
        place, layer = str(len(model) - 2), model[-2]
        yield Site((place,), lambda _: layer.bias.fill_(-20.0))


def _gates(subject: Subject) -> Iterator[tuple[str, nn.Module]]:
    for path, module in subject.model.named_modules():
        names = ("gate", "up") if hasattr(module, "gate") else ("gate_proj", "up_proj")
        if all(isinstance(getattr(module, name, None), nn.Linear) for name in names):
            yield path, module


def _dead_product(subject: Subject) -> Iterator[Site]:
    """Both factors of a gated branch, of an adapter, of the scores or of the values of an attention, are zero."""
    for path, module in _gates(subject):
        names = ("gate", "up") if hasattr(module, "gate") else ("gate_proj", "up_proj")
        yield _zeros(subject, [f"{path}.{name}".lstrip(".") for name in names])
    for path, module in subject.model.named_modules():
        if all(hasattr(module, name) for name in parts.ADAPTER):
            yield _zeros(subject, [f"{path}.{name}".lstrip(".") for name in parts.ADAPTER])
        if type(module).__name__ == "Scaled":
            yield _zeros(subject, [f"{path}.branch.2"])
    for each in heads.attentions(subject.model):
        for one, other, names in ((each.query, each.key, each.names[:2]), (each.value, each.out, each.names[2:])):
            yield Site((*names[0], *names[1], each.path), partial(_clear, each, one, other))


def _zeros(subject: Subject, places: list[str]) -> Site:
    def write(_: Random) -> None:
        for place in places:
            for parameter in subject.model.get_submodule(place).parameters():
                parameter.zero_()

    return Site(tuple(places), write)


def _clear(each: heads.Heads, one: Callable[[], Tensor], other: Callable[[], Tensor], _: Random) -> None:
    one().zero_()
    other().zero_()
    for bias in each.biases():
        bias.zero_()


def _zero_gains(subject: Subject) -> Iterator[Site]:
    """All norms at gain 0 where nothing passes beside them."""
    found = parts.norms(subject.model)
    if found:
        kept = [(module.weight, module.weight.clone()) for _, module in found]
        for gain, _ in kept:
            gain.zero_()
        answer = parts.is_constant(subject)
        for gain, value in kept:
            gain.copy_(value)
        if answer:
            yield Site(tuple(name for name, _ in found), lambda _: [gain.zero_() for gain, _ in kept])


def _gain_like_weight(subject: Subject) -> Iterator[Site]:
    found = [(name, module) for name, module in parts.norms(subject.model) if not getattr(module, "is_offset", False)]
    if found:
        yield Site(tuple(name for name, _ in found), lambda rng: [normal_(each.weight, 0.02, rng) for _, each in found])


def _gain_for_shift(subject: Subject) -> Iterator[Site]:
    found = [(name, each) for name, each in parts.norms(subject.model) if getattr(each, "bias", None) is not None]

    def write(_: Random) -> None:
        for _name, module in found:
            module.weight.zero_()
            module.bias.fill_(1.0)

    if found:
        yield Site(tuple(name for name, _ in found), write)


def _closed_gate(subject: Subject) -> Iterator[Site]:
    """A cell that keeps its empty state; a gate that is shut for every sample."""
    for name, module in subject.model.named_modules():
        if isinstance(module, nn.GRU | nn.LSTM):
            size = module.hidden_size
            start, value = (size, 12.0) if isinstance(module, nn.GRU) else (0, -12.0)  # keep all; let nothing in

            rows = module.bias_ih_l0[start : start + size]
            yield Site((name,), lambda _, rows=rows, value=value: rows.fill_(value))
    for path, module in _gates(subject):
        gate = module.gate if hasattr(module, "gate") else module.gate_proj
        if gate.bias is not None and type(module).__name__ == "Gated":
            yield Site((path,), lambda _, gate=gate: gate.bias.fill_(-25.0))


def _copied(subject: Subject) -> Iterator[Site]:
    for pair in parts.pairs(subject):
        yield Site((pair.first.name, pair.second.name), partial(_copy_all, pair))


def _copy_all(pair: Pair, _: Random) -> None:
    """All units become copies of the first."""
    for unit in range(1, pair.first.value.shape[0]):
        parts.copy_units_(pair, 0, unit)


def _half_copied(subject: Subject) -> Iterator[Site]:
    for pair in parts.pairs(subject):
        yield Site((pair.first.name, pair.second.name), partial(_copy_half, pair))


def _copy_half(pair: Pair, _: Random) -> None:
    half = pair.first.value.shape[0] // 2
    for unit in range(half):
        parts.copy_units_(pair, unit, half + unit)


def _mirrored(subject: Subject) -> Iterator[Site]:
    """Under an odd function the second half is the first one's mirror image, in rows and columns."""
    odd = {id(each.owner) for each in parts.followed(subject, nn.Tanh)}
    for pair in parts.pairs(subject):
        if id(pair.first.owner) in odd:
            yield Site((pair.first.name, pair.second.name), partial(_mirror, pair))


def _mirror(pair: Pair, _: Random) -> None:
    half = pair.first.value.shape[0] // 2
    for unit in range(half):
        parts.copy_units_(pair, unit, half + unit, sign=-1.0)


def _lumped(subject: Subject) -> Iterator[Site]:
    """In three layers in a row, two by two: entries differ, the sums that blocks see do not."""
    found = {id(pair.first.owner): pair for pair in parts.pairs(subject) if isinstance(pair.first.owner, nn.Linear)}
    for pair in found.values():
        after = found.get(id(pair.second.owner))
        if after is not None and pair.spread == after.spread == 1:
            yield Site((pair.first.name, pair.second.name, after.second.name), partial(_lump, pair, after))


def _lump(pair: Pair, after: Pair, _: Random) -> None:
    rows, middle, columns = pair.first, pair.second, after.second
    for weight in (rows, middle):
        last = weight.value.shape[0] // 2 * 2
        if weight is rows:
            weight.value[1:last:2] = weight.value[0:last:2]
        if weight.bias is not None:
            weight.bias[1:last:2] = weight.bias[0:last:2]
    units, inputs = (size // 2 * 2 for size in middle.value.shape)
    square = middle.value[:units, :inputs]
    square[1::2, 1::2], square[1::2, 0::2] = square[0::2, 0::2].clone(), square[0::2, 1::2].clone()
    columns.value[:, 1:units:2] = columns.value[:, 0:units:2]


def _equal_experts(subject: Subject) -> Iterator[Site]:
    for path, module in subject.model.named_modules():
        experts = getattr(module, "experts", None)
        if isinstance(experts, nn.ModuleList) and hasattr(module, "router"):
            yield Site((f"{path}.experts".lstrip("."), f"{path}.router".lstrip(".")), partial(_equalise, module))


def _equalise(module: Any, _: Random) -> None:
    for expert in module.experts[1:]:
        expert.load_state_dict(module.experts[0].state_dict())
    for parameter in module.router.parameters():
        parameter.copy_(parameter[:1].clone().expand_as(parameter))


def _one_expert(subject: Subject) -> Iterator[Site]:
    """The router gives everything to one expert and takes no gradient for it."""
    for path, module in subject.model.named_modules():
        if hasattr(module, "experts") and hasattr(module, "router"):
            place = f"{path}.router".lstrip(".")
            yield Site((place,), lambda _, router=module.router: router.bias[0].fill_(60.0))


def _equal_heads(subject: Subject) -> Iterator[Site]:
    for each in heads.attentions(subject.model):
        names = tuple(name for group in each.names for name in group)
        yield Site((*names, each.path), partial(_same_heads, each))


def _same_heads(each: heads.Heads, _: Random) -> None:
    for view in (each.query(), each.key(), each.value(), each.out()):
        size = view.shape[0] // each.heads
        for head in range(1, each.heads):
            view[head * size : (head + 1) * size].copy_(view[:size])
    for bias in each.biases():
        bias.zero_()


def _cloned(subject: Subject) -> Iterator[Site]:
    model = subject.model
    if hasattr(model, "q1") and hasattr(model, "q2"):
        yield Site(("q1", "q2"), lambda _: model.q2.load_state_dict(model.q1.state_dict()))


def _equal_tokens(subject: Subject) -> Iterator[Site]:
    model = subject.model
    if hasattr(model, "queries"):
        yield Site(("queries",), lambda _: model.queries.copy_(model.queries[:1].clone().expand_as(model.queries)))


def _copied_layers(subject: Subject) -> Iterator[Site]:
    """Repeated blocks are copies of the first."""
    for path, module in subject.model.named_modules():
        rows = list(module) if isinstance(module, nn.Sequential | nn.ModuleList) else []
        named = [(index, each) for index, each in enumerate(rows) if list(each.parameters()) and list(each.children())]
        shapes = {tuple((name, value.shape) for name, value in each.state_dict().items()) for _, each in named}
        if len(named) > 1 and len(shapes) == 1 and not path.endswith("experts"):
            yield Site(
                tuple(f"{path}.{index}".lstrip(".") for index, _ in named),
                lambda _, named=named: [each.load_state_dict(named[0][1].state_dict()) for _, each in named[1:]],
            )


KINDS: dict[str, Kind] = {
    "zero layer": kind("206 402 404 701", _zero_layer),
    "two zero layers": kind("206 402 404 701", _two_zero_layers),
    "all zero": kind("206 402 404 701", _all_zero),
    "dead bias": kind("305 402 601 602", _dead_bias),
    "saturating bias": kind("303 601", _saturating),
    "dead output": kind("305 601 602", _dead_output),
    "dead product": kind("701", _dead_product),
    "zero norm gains": kind("310 402", _zero_gains),
    "gains like weights": kind("310", _gain_like_weight),
    "gain and shift exchanged": kind("310", _gain_for_shift),
    "closed gate": kind("604 703", _closed_gate),
    "copied units": kind("201 206 202", _copied),
    "half of the units copied": kind("201", _half_copied),
    "mirrored units": kind("204", _mirrored),
    "lumped units": kind("201 202", _lumped),
    "equal experts": kind("207 211", _equal_experts),
    "one expert takes all": kind("211", _one_expert),
    "equal heads": kind("208", _equal_heads),
    "cloned critics": kind("207", _cloned),
    "equal queries": kind("212", _equal_tokens),
    "copied layers": kind("209", _copied_layers),
}
