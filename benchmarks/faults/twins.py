"""The same writes in forms that do no harm: a check has to stay silent on them."""

import itertools
import math
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import torch
from torch import nn

from benchmarks.faults import data, heads, parts
from benchmarks.faults.blocks import _gates, _on_main_path, _zero_
from benchmarks.faults.kind import Kind, Site, generator, kind, normal_
from benchmarks.faults.parts import Pair, Weight
from benchmarks.faults.subject import Subject

_ROUNDED = 1e-3
"""Relative change of the output by a factor 2 that a norm takes off but for its epsilon."""
_MANY = 64
"""Samples that tell whether a part is used by all or by some."""


def _before_norm(subject: Subject) -> Iterator[Site]:
    """Five times the scale in a layer whose result a norm divides out again."""
    for weight in parts.hidden(subject):
        kept, before = weight.value.clone(), parts.run(subject.model, subject.few(_MANY))
        weight.value.mul_(2.0)
        if weight.bias is not None:
            weight.bias.mul_(2.0)
        change = (parts.run(subject.model, subject.few(_MANY)) - before).abs().max() / before.abs().max()
        weight.value.copy_(kept)
        if weight.bias is not None:
            weight.bias.div_(2.0)
        if 0 < change < _ROUNDED:  # not nothing: an expert that no sample is sent to stands before no norm
            yield Site((weight.name,), partial(_enlarge, weight, 5.0))


def _enlarge(weight: Weight, factor: float, _: Random) -> None:
    weight.value.mul_(factor)
    if weight.bias is not None:
        weight.bias.mul_(factor)


def _bias_before_norm(subject: Subject) -> Iterator[Site]:
    """A constant that a batch norm subtracts again."""
    for module in subject.model.modules():
        row = list(module) if isinstance(module, nn.Sequential) else []
        for layer, after in itertools.pairwise(row):
            if isinstance(layer, nn.Conv2d) and isinstance(after, nn.BatchNorm2d) and layer.bias is not None:
                yield Site((), lambda _, layer=layer: layer.bias.fill_(-12.0))


def _zero_branch(subject: Subject) -> Iterator[Site]:
    """The last layer of a residual branch at zero: told by its own gradient, live and of more than one direction."""
    for weight in parts.hidden(subject):
        if _on_main_path(subject, weight):
            continue
        kept = [value.clone() for value in (weight.value, weight.bias) if value is not None]
        before = parts.run(subject.model, subject.few(_MANY))
        _zero_(weight)
        changed = (parts.run(subject.model, subject.few(_MANY)) != before).flatten(1).any(1)
        gradient = parts.gradients(subject)[weight.name]
        weight.value.copy_(kept[0])
        if weight.bias is not None:
            weight.bias.copy_(kept[1])
        rows = (
            gradient.permute(*weight.units, *weight.sums).flatten(len(weight.units)).flatten(0, len(weight.units) - 1)
        )
        is_everyones = bool(changed.all())  # not one expert of several
        if is_everyones and int(torch.linalg.matrix_rank(rows)) > min(rows.shape) // 2:
            yield Site((weight.name,), lambda _, weight=weight: _zero_(weight))


def _zero_last_gain(subject: Subject) -> Iterator[Site]:
    """The last norm of each residual branch at gain 0."""
    last = [module.norm2 for module in subject.model.modules() if type(module).__name__ == "NormedBlock"]
    if last:
        yield Site((), lambda _: [norm.weight.zero_() for norm in last])


def _zero_head(subject: Subject) -> Iterator[Site]:
    head = parts.in_order(subject)[-1]
    if not isinstance(subject.model, nn.Sequential) or not isinstance(subject.model[-1], nn.ReLU):
        tied = [name for name, value in subject.model.named_parameters(remove_duplicate=False) if value is head.value]
        if len(tied) == 1:
            yield Site((head.name,), lambda _: _zero_(head))


def _other_factor(subject: Subject) -> Iterator[Site]:
    """The other factor of an adapter is the zero one."""
    for module in subject.model.modules():
        if all(hasattr(module, name) for name in parts.ADAPTER):
            yield Site((), partial(_exchange, module))


def _exchange(module: Any, rng: Random) -> None:
    module.lora_a.weight.zero_()
    normal_(module.lora_b.weight, module.lora_b.weight.shape[1] ** -0.5, rng)


def _permuted(subject: Subject) -> Iterator[Site]:
    for pair in parts.pairs(subject):
        yield Site((), partial(_permute, pair))


def _permute(pair: Pair, rng: Random) -> None:
    order = torch.randperm(pair.first.value.shape[0], generator=generator(rng))
    pair.first.value.copy_(pair.first.value[order])
    if pair.first.bias is not None:
        pair.first.bias.copy_(pair.first.bias[order])
    pair.set_columns(pair.columns[:, order].clone())


def _rescaled(subject: Subject) -> Iterator[Site]:
    """A factor that ReLU lets through, taken back by the next layer."""
    homogeneous = {id(each.owner) for each in parts.followed(subject, nn.ReLU)}
    for pair in parts.pairs(subject):
        if id(pair.first.owner) in homogeneous:
            yield Site((), partial(_rescale, pair))


def _rescale(pair: Pair, rng: Random) -> None:
    factor = rng.choice((0.5, 1.5, 2.0))
    _enlarge(pair.first, factor, rng)
    pair.second.value.div_(factor)


def _mirrored_signs(subject: Subject) -> Iterator[Site]:
    """Rows and columns of some units negated under an odd function: the same function."""
    odd = {id(each.owner) for each in parts.followed(subject, nn.Tanh)}
    for pair in parts.pairs(subject):
        if id(pair.first.owner) in odd:
            yield Site((), partial(_negate, pair))


def _negate(pair: Pair, rng: Random) -> None:
    signs = torch.tensor([rng.choice((-1.0, 1.0)) for _ in range(pair.first.value.shape[0])])
    pair.first.value.mul_(signs.view(-1, *[1] * (pair.first.value.dim() - 1)))
    if pair.first.bias is not None:
        pair.first.bias.mul_(signs)
    pair.set_columns(pair.columns * signs.view(1, -1, 1))


def _equal_rows(subject: Subject) -> Iterator[Site]:
    """Some units in pairs of equal rows, their columns distinct: they part at the first step, at full rank."""
    for pair in parts.pairs(subject):
        if pair.second.value.shape[0] > 4:
            yield Site((), partial(_pair_rows, pair))


def _pair_rows(pair: Pair, _: Random) -> None:
    for unit in range(0, pair.first.value.shape[0] // 4 * 2, 2):
        pair.first.value[unit + 1] = pair.first.value[unit]
        if pair.first.bias is not None:
            pair.first.bias[unit + 1] = pair.first.bias[unit]


def _looks_linear(subject: Subject) -> Iterator[Site]:
    """Rows in mirrored pairs under ReLU with biases 0, columns as they were: both halves of each line."""
    homogeneous = {id(each.owner) for each in parts.followed(subject, nn.ReLU)}
    for pair in parts.pairs(subject):
        if id(pair.first.owner) in homogeneous:
            yield Site((), partial(_mirror_rows, pair))


def _mirror_rows(pair: Pair, _: Random) -> None:
    half = pair.first.value.shape[0] // 2
    pair.first.value[half : 2 * half] = -pair.first.value[:half]
    if pair.first.bias is not None:
        pair.first.bias.zero_()


def _prior_bias(subject: Subject) -> Iterator[Site]:
    """The head starts at the logarithm of the classes' shares."""
    head = parts.in_order(subject)[-1]
    if subject.loss is data.cross_entropy and head.bias is not None and head.value.dim() == 2:
        counts = torch.bincount(subject.targets.flatten(), minlength=len(head.bias)).float() + 1
        yield Site((), lambda _: head.bias.copy_((counts / counts.sum()).log()))


def _forget_gate(subject: Subject) -> Iterator[Site]:
    for module in subject.model.modules():
        if isinstance(module, nn.LSTM):
            size = module.hidden_size
            yield Site((), lambda _, rows=module.bias_ih_l0[size : 2 * size]: rows.fill_(1.0))


def _zero_query(subject: Subject) -> Iterator[Site]:
    """Even attention at the start: one factor of the scores is zero, the other not."""
    for each in heads.attentions(subject.model):
        yield Site((), lambda _, each=each: each.query().zero_())


def _key_bias(subject: Subject) -> Iterator[Site]:
    """A key bias shifts all scores of a query alike: the softmax does not see it."""
    for each in heads.attentions(subject.model):
        if len(each.biases()) == 3:
            yield Site((), lambda rng, each=each: normal_(each.biases()[1], 0.5, rng))


def _zero_gate(subject: Subject) -> Iterator[Site]:
    """One factor of a gated branch at zero, the other random."""
    for path, module in _gates(subject):
        if type(module).__name__ != "Product":
            up = module.up if hasattr(module, "gate") else module.up_proj
            yield Site((path,), lambda _, up=up: [value.zero_() for value in up.parameters()])


def _zero_router(subject: Subject) -> Iterator[Site]:
    """Every expert has the same share, and none is like another."""
    for module in subject.model.modules():
        if hasattr(module, "experts") and type(module).__name__ == "Mixture":
            yield Site((), lambda _, router=module.router: [value.zero_() for value in router.parameters()])


def _frozen_copy(subject: Subject) -> Iterator[Site]:
    """A target network beside the one that learns: equal, and without gradient."""
    first = next((name for name, child in subject.model.named_children() if list(child.parameters())), None)
    if first and not isinstance(subject.model, nn.Sequential):
        yield Site((), partial(_keep_copy, subject, first))


def _keep_copy(subject: Subject, name: str, _: Random) -> None:
    import copy

    subject.model.add_module("target", copy.deepcopy(subject.model.get_submodule(name)).requires_grad_(False))


def _input_norm(subject: Subject) -> Iterator[Site]:
    """Raw numbers into a norm that stands in front of everything."""
    if subject.inputs.is_floating_point() and subject.inputs.dim() in (2, 4):
        yield Site((), partial(_norm_first, subject))


def _norm_first(subject: Subject, _: Random) -> None:
    width = subject.inputs.shape[1]
    norm = nn.BatchNorm1d(width) if subject.inputs.dim() == 2 else nn.BatchNorm2d(width)
    low, high = subject.inputs.min(), subject.inputs.max()
    subject.inputs = (subject.inputs - low) / (high - low) * 255.0
    subject.model = nn.Sequential(norm, subject.model)


def _other_law(subject: Subject) -> Iterator[Site]:
    """The same variance, from a uniform or orthogonal draw."""
    for weight in parts.hidden(subject):
        if weight.units == (0,) and weight.value.dim() == 2:
            yield Site((), partial(_redraw, weight))


def _redraw(weight: Weight, rng: Random) -> None:
    std = float(weight.value.std())
    if rng.random() < 0.5:
        bound = std * math.sqrt(3.0)
        weight.value.uniform_(-bound, bound, generator=generator(rng))
    else:
        nn.init.orthogonal_(weight.value, generator=generator(rng))
        weight.value.mul_(std / float(weight.value.std()))


def _zero_places(subject: Subject) -> Iterator[Site]:
    """Positions start at zero beside distinct symbols."""
    places = getattr(subject.model, "places", None)
    if isinstance(places, nn.Embedding):
        yield Site((), lambda _: places.weight.zero_())


def _zero_padding(subject: Subject) -> Iterator[Site]:
    for name, module in subject.model.named_modules():
        tied = sum(
            value is getattr(module, "weight", None)
            for _, value in subject.model.named_parameters(remove_duplicate=False)
        )
        if isinstance(module, nn.Embedding) and tied == 1 and "place" not in name:

            def write(_: Random, module: nn.Embedding = module) -> None:
                module.padding_idx = 0
                module.weight[0].zero_()

            yield Site((), write)


def _log_probabilities(subject: Subject) -> Iterator[Site]:
    """A log softmax under cross entropy: the same loss."""
    if subject.loss is data.cross_entropy:
        yield Site((), lambda _: subject.model.register_forward_hook(_log_softmax))


def _log_softmax(_: nn.Module, _args: Any, output: torch.Tensor) -> torch.Tensor:
    return output.log_softmax(-1)


KINDS: dict[str, Kind] = {
    "scale before a norm": kind("", _before_norm),
    "bias before a norm": kind("", _bias_before_norm),
    "zero branch": kind("", _zero_branch),
    "zero last gain": kind("", _zero_last_gain),
    "zero head": kind("", _zero_head),
    "zero in the other factor": kind("", _other_factor),
    "permuted units": kind("", _permuted),
    "rescaled pair": kind("", _rescaled),
    "signs exchanged": kind("", _mirrored_signs),
    "equal rows, distinct columns": kind("", _equal_rows),
    "mirrored rows": kind("", _looks_linear),
    "prior bias": kind("", _prior_bias),
    "forget gate open": kind("", _forget_gate),
    "even attention": kind("", _zero_query),
    "key bias": kind("", _key_bias),
    "one zero factor": kind("", _zero_gate),
    "even router": kind("", _zero_router),
    "frozen copy": kind("", _frozen_copy),
    "raw input, norm first": kind("", _input_norm),
    "other law": kind("", _other_law),
    "zero positions": kind("", _zero_places),
    "zero padding row": kind("", _zero_padding),
    "log softmax": kind("", _log_probabilities),
}
