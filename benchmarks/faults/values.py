"""Faults of single tensors: their numbers, their scale, their fan."""

import math
from collections.abc import Callable, Iterator
from functools import partial
from random import Random

import torch
from torch import Tensor, nn

from benchmarks.faults import heads, parts
from benchmarks.faults.kind import Kind, Site, kind, normal_
from benchmarks.faults.parts import Weight
from benchmarks.faults.subject import Subject
from benchmarks.small import nets as small


def _each_weight(write: Callable[[Weight, Random], object]) -> Callable[[Subject], Iterator[Site]]:
    def sites(subject: Subject) -> Iterator[Site]:
        for weight in parts.hidden(subject):
            yield Site(weight.places, partial(write, weight))

    return sites


def _all_weights(write: Callable[[Weight, Random], object]) -> Callable[[Subject], Iterator[Site]]:
    def sites(subject: Subject) -> Iterator[Site]:
        found = [each for each in parts.in_order(subject) if not parts.is_adapter(each)]
        if len(found) > 1:
            yield Site((), lambda rng: [write(weight, rng) for weight in found])

    return sites


def _element(number: float) -> Callable[[Weight, Random], None]:
    def write(weight: Weight, rng: Random) -> None:
        weight.value.view(-1)[rng.randrange(weight.value.numel())] = number

    return write


def _times(factor: float) -> Callable[[Weight, Random], object]:
    return lambda weight, _: weight.value.mul_(factor)


def _unwritten(subject: Subject) -> Iterator[Site]:
    """The factory leaves one tensor as the allocator gave it."""
    for weight in parts.hidden(subject):
        yield Site(weight.places, partial(_forget, subject, weight))


def _forget(subject: Subject, weight: Weight, _: Random) -> None:
    # What the allocator gives is by chance; for training it stands for values of every size.
    numbers = torch.logspace(-30, 30, weight.value.numel(), dtype=torch.float32)
    weight.value.copy_(numbers.reshape(weight.value.shape))
    kept, name = subject.model, weight.name

    def factory() -> nn.Module:
        import copy

        model = copy.deepcopy(kept)
        place, _, last = name.rpartition(".")
        setattr(model.get_submodule(place), last, nn.Parameter(torch.empty(weight.value.shape)))
        return model

    subject.factory = factory


def _constant(weight: Weight, _: Random) -> None:
    weight.value.fill_(float(weight.value.std()))
    if weight.bias is not None:
        weight.bias.zero_()


def _fans(wrong: Callable[[Weight], float | None]) -> Callable[[Subject], Iterator[Site]]:
    """A layer whose two fans are a factor four apart or more, drawn with the wrong one."""

    def sites(subject: Subject) -> Iterator[Site]:
        found = [(weight, fan) for weight in parts.hidden(subject) if (fan := wrong(weight)) is not None]
        gaps = [(weight, fan) for weight, fan in found if abs(math.log(fan / weight.fan_in)) >= 2 * math.log(2)]
        for weight, fan in gaps:
            yield Site(weight.places, partial(_draw, weight, fan))

    return sites


def _draw(weight: Weight, fan: float, rng: Random) -> None:
    normal_(weight.value, math.sqrt(2.0 / fan), rng)


def _swapped(weight: Weight) -> float | None:
    """Outputs for inputs."""
    if weight.groups > 1 or isinstance(weight.owner, nn.ConvTranspose2d):
        return None
    units = math.prod(weight.value.shape[axis] for axis in weight.units)
    kernel = math.prod(weight.value.shape[2:]) if isinstance(weight.owner, nn.Conv2d) else 1
    return units * kernel


def _ungrouped(weight: Weight) -> float | None:
    """All channels for those of one group."""
    return weight.fan_in * weight.groups if 1 < weight.groups < weight.value.shape[0] else None


def _depthwise(weight: Weight) -> float | None:
    """The dense layer's outputs for a kernel that reads one channel."""
    is_depthwise = weight.groups > 1 and weight.value.shape[1] == 1
    return weight.fan_in * weight.value.shape[0] if is_depthwise else None


def _head_size(weight: Weight) -> float | None:
    """The width of a head for the width of the model, in a tensor of three axes."""
    shape = weight.value.shape
    return shape[2] if len(shape) == 3 and weight.sums == (0,) else None


def _stride_forgotten(weight: Weight) -> float | None:
    """Axis 0 and 1 of a transposed convolution exchanged."""
    if not isinstance(weight.owner, nn.ConvTranspose2d):
        return None
    return weight.value.shape[1] * math.prod(weight.value.shape[2:])


def _loud_head(subject: Subject) -> Iterator[Site]:
    head = parts.in_order(subject)[-1]
    tied = [name for name, value in subject.model.named_parameters(remove_duplicate=False) if value is head.value]
    yield Site(tuple({head.name, *tied}), lambda _: head.value.mul_(100.0))


def _tied_unit(subject: Subject) -> Iterator[Site]:
    """A table of symbols drawn with standard deviation 1, though it is the head as well."""
    named = list(subject.model.named_parameters(remove_duplicate=False))
    tables = [module.weight for module in subject.model.modules() if isinstance(module, nn.Embedding)]
    for table in tables:
        names = tuple(name for name, value in named if value is table)
        if len(names) > 1:
            yield Site(names, lambda rng, table=table: normal_(table, 3.0, rng))


def _sharp(subject: Subject) -> Iterator[Site]:
    for each in heads.attentions(subject.model):

        def write(_: Random, each: heads.Heads = each) -> None:
            each.query().mul_(12.0)
            each.key().mul_(12.0)

        yield Site((*each.names[0], *each.names[1], each.path), write)


def _loud_branches(subject: Subject) -> Iterator[Site]:
    """The last layer of every branch without a norm in front is fifty times too large."""
    ends = [module.second for module in subject.model.modules() if isinstance(module, small.Block)]
    if ends:
        yield Site((), lambda _: [end.weight.mul_(50.0) for end in ends])


def _waves(subject: Subject) -> Iterator[Site]:
    """Features of a periodic layer so slow that none sees half a wave."""
    for name, module in subject.model.named_modules():
        if isinstance(module, nn.Sequential) and len(module) > 1 and type(module[1]).__name__ == "Sine":
            first = module[0]
            yield Site((f"{name}.0".lstrip("."),), lambda _, first=first: first.weight.mul_(0.02))


def _rates(write: Callable[[Tensor], object]) -> Callable[[Subject], Iterator[Site]]:
    def sites(subject: Subject) -> Iterator[Site]:
        for name, value in subject.model.named_parameters():
            if name.endswith("log_rate"):
                yield Site((name,), lambda _, value=value: write(value))

    return sites


KINDS: dict[str, Kind] = {
    "NaN element": kind("101", _each_weight(_element(math.nan))),
    "infinite element": kind("101", _each_weight(_element(math.inf))),
    "unwritten memory": kind("102", _unwritten),
    "outlier": kind("103", _each_weight(_element(1e4))),
    "constant layer": kind("201 203 206", _each_weight(_constant)),
    "all constant": kind("201 203 206", _all_weights(lambda weight, _: weight.value.fill_(0.05))),
    "tiny": kind("301 302 313 401 404 408 507 601", _all_weights(_times(0.02))),
    "huge": kind("301 302 303 307 308 313 401 407 501", _all_weights(_times(20.0))),
    "one layer tiny": kind("301 302 401 404 408 601 706", _each_weight(_times(1e-4))),
    "one layer huge": kind("301 302 303 307 308 401 407 408 501 706", _each_weight(_times(300.0))),
    "transposed fan": kind("302 313", _fans(_swapped)),
    "ungrouped fan": kind("302 313", _fans(_ungrouped)),
    "depthwise fan out": kind("302 313", _fans(_depthwise)),
    "fan of a head": kind("302 313", _fans(_head_size)),
    "transposed convolution's fan": kind("302 313", _fans(_stride_forgotten)),
    "loud head": kind("302 501", _loud_head),
    "loud tied table": kind("302 501", _tied_unit),
    "sharp attention": kind("307", _sharp),
    "loud branches": kind("302 308", _loud_branches),
    "slow waves": kind("320", _waves),
    "no memory": kind("318", _rates(lambda value: value.fill_(4.0))),
    "endless memory": kind("318", _rates(lambda value: value.fill_(-12.0))),
}
