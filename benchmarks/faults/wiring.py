"""Faults outside the values of a single tensor: cut paths, wrong losses, raw data, ties that broke."""

import copy
from collections.abc import Iterator
from functools import partial
from random import Random
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.faults import data, parts
from benchmarks.faults.kind import Kind, Site, generator, kind, normal_
from benchmarks.faults.subject import Subject


def _detached(subject: Subject) -> Iterator[Site]:
    """No derivative gets past one layer: what stands before it never learns."""
    for weight in parts.hidden(subject)[1:]:
        yield Site(
            partial(_silenced, subject, weight.owner, _cut),
            lambda _, owner=weight.owner: owner.register_forward_hook(_cut),
        )


def _silenced(subject: Subject, owner: nn.Module, hook: Any) -> tuple[str, ...]:
    """Parameters whose gradient ends when the hook is there."""
    before = parts.gradients(subject)
    handle = owner.register_forward_hook(hook)
    after = parts.gradients(subject)
    handle.remove()
    return tuple(name for name, value in before.items() if value.any() and not after[name].any())


def _cut(_: nn.Module, _args: Any, output: Tensor) -> Tensor:
    return output.detach()


def _double(subject: Subject) -> Iterator[Site]:
    """Probabilities where the loss wants logits."""
    if subject.loss is data.cross_entropy:
        yield Site((), lambda _: subject.model.register_forward_hook(_softmax))


def _softmax(_: nn.Module, _args: Any, output: Tensor) -> Tensor:
    return output.softmax(-1)


def _raw_input(subject: Subject) -> Iterator[Site]:
    """Numbers from 0 to 255, not standardised."""
    if subject.inputs.is_floating_point():
        yield Site((), partial(_unscale, subject))


def _unscale(subject: Subject, _: Random) -> None:
    low, high = subject.inputs.min(), subject.inputs.max()
    subject.inputs = (subject.inputs - low) / (high - low) * 255.0


def _far_input(subject: Subject) -> Iterator[Site]:
    """An offset of twenty standard deviations, as of a year or a price."""
    if subject.inputs.is_floating_point():
        yield Site((), partial(_shift, subject))


def _shift(subject: Subject, _: Random) -> None:
    subject.inputs = subject.inputs + 20.0


def _raw_target(subject: Subject) -> Iterator[Site]:
    """Targets around 500 with a spread of 100."""
    if subject.loss in (data.squared, data.critics):
        yield Site((), partial(_enlarge, subject))


def _enlarge(subject: Subject, _: Random) -> None:
    subject.targets = subject.targets * 100.0 + 500.0
    plain = subject.loss
    # The same error in the old unit, so that losses can be compared.
    subject.notes["unit"] = lambda output, target: plain(output, target) / 1e4


def _both_random(subject: Subject) -> Iterator[Site]:
    for path, module in subject.model.named_modules():
        if all(hasattr(module, name) for name in parts.ADAPTER):
            places = tuple(f"{path}.{name}".lstrip(".") for name in parts.ADAPTER)
            yield Site((*places, path), lambda rng, module=module: normal_(module.lora_b.weight, 0.5, rng))


def _broken_tie(subject: Subject) -> Iterator[Site]:
    named = list(subject.model.named_parameters(remove_duplicate=False))
    for table in [module.weight for module in subject.model.modules() if isinstance(module, nn.Embedding)]:
        names = [name for name, value in named if value is table]
        if len(names) > 1:
            yield Site(tuple(names), partial(_untie, subject, names[-1], table))


def _untie(subject: Subject, name: str, table: nn.Parameter, _: Random) -> None:
    place, _, last = name.rpartition(".")
    setattr(subject.model.get_submodule(place), last, nn.Parameter(table.detach().clone()))


def _padding(subject: Subject) -> Iterator[Site]:
    """A row that stands for nothing, random and left out of the gradient."""
    for name, module in subject.model.named_modules():
        if isinstance(module, nn.Embedding) and module.padding_idx is None and "place" not in name:

            def write(_: Random, module: nn.Embedding = module) -> None:
                module.padding_idx = 0

            yield Site((f"{name}.weight",), write)


def _renormalised(subject: Subject) -> Iterator[Site]:
    """The best expert's share is divided by itself: the router gets no gradient."""
    for path, module in subject.model.named_modules():
        if hasattr(module, "experts") and hasattr(module, "router"):
            place = f"{path}.router".lstrip(".")
            yield Site((place,), lambda _, router=module.router: router.register_forward_hook(_best_only))


def _best_only(_: nn.Module, _args: Any, output: Tensor) -> Tensor:
    best = output.argmax(-1, keepdim=True)
    return torch.full_like(output, -1e9).scatter(-1, best, 0.0)


def _rounded(subject: Subject) -> Iterator[Site]:
    """Activations rounded to integers: a derivative of zero everywhere."""
    for weight in parts.hidden(subject)[1:]:
        places = partial(_silenced, subject, weight.owner, _round)
        yield Site(places, lambda _, owner=weight.owner: owner.register_forward_hook(_round))


def _round(_: nn.Module, _args: Any, output: Tensor) -> Tensor:
    return (output * 4).round() / 4


def _squashed(subject: Subject) -> Iterator[Site]:
    """A sigmoid under logits: no class can be told with confidence."""
    if subject.loss is data.cross_entropy:
        yield Site((), lambda _: subject.model.register_forward_hook(_sigmoid))


def _sigmoid(_: nn.Module, _args: Any, output: Tensor) -> Tensor:
    return output.sigmoid()


def _lost_write(subject: Subject) -> Iterator[Site]:
    """A start written into what weight normalisation computes anew at every call."""
    for weight in parts.hidden(subject):
        if isinstance(weight.owner, nn.Linear):
            yield Site((weight.path,), partial(_write_in_vain, subject, weight.path))


def _write_in_vain(subject: Subject, path: str, rng: Random) -> None:
    model, draws = subject.model, generator(rng)
    nn.utils.parametrizations.weight_norm(model.get_submodule(path))

    def factory() -> nn.Module:
        built = copy.deepcopy(model)
        layer: Any = built.get_submodule(path)
        layer.weight.data.normal_(0.0, 0.01, generator=draws)
        return built

    subject.factory = factory


KINDS: dict[str, Kind] = {
    "detached": kind("406", _detached),
    "rounded": kind("406", _rounded),
    "softmax twice": kind("505", _double),
    "sigmoid under logits": kind("505", _squashed),
    "raw input": kind("901", _raw_input),
    "far input": kind("901", _far_input),
    "raw target": kind("504 902", _raw_target),
    "both factors random": kind("702", _both_random),
    "broken tie": kind("705", _broken_tie),
    "random padding row": kind("606", _padding),
    "router without gradient": kind("406", _renormalised),
    "lost write": kind("108", _lost_write),
}
