"""The activations that a coordinate check follows, taken from one forward pass: responses, attention logits, output.

Followed: the result of every weighted operation, what an attention's softmax reads, and the output. A constant factor
right behind a weight or a product counts as part of it: the readout multiplier of the maximal update parametrisation,
the scale of the logits.

An inner product of n terms is n times the product of its factors' sizes once they are aligned, and only sqrt(n) times
while they are not. Training aligns them, in wide models within a few steps and in narrow ones later; the *reach* of
an operation is its size with everything aligned (Yang et al. 2022, arXiv 2203.03466, on the scale 1/d of attention).
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from stepzero.measure.uses import WEIGHTS
from stepzero.probe.nodes import Record
from stepzero.probe.recorder import Recorder
from stepzero.probe.restore import Guard
from stepzero.probe.sampler import Sampler
from stepzero.probe.transfer import Ledger
from stepzero.probe.uses import argument, flat_tensors
from stepzero.probe.vocabulary import Spec

MOST = 1 << 16
"""Elements of one activation that are kept; of larger ones this many, drawn once for its size."""
_MASKS = frozenset(["masked_fill", "where", "masked_scatter"])


class Site(NamedTuple):
    """What makes a place the same in models of different width."""

    module: str
    call: int
    name: str
    """Operation."""
    number: int
    """Among equal operations of that call."""
    kind: str
    """weighted | logits | output."""


class Taken(NamedTuple):
    """What was seen at one place."""

    sample: Tensor | None
    """At most MOST elements, float64; None for logits, of which only the reach counts."""
    reach: float | None = None
    """Of a weight whose entries are 1, with this input and the factors behind it; of logits, their own."""
    parameter: str | None = None
    """The weight."""


class Follower(Recorder):
    """A recorder that keeps samples of the followed activations and measures nothing else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, Guard(), Sampler(Ledger()))
        self._weighted: dict[int, Taken] = {}
        self._products: dict[int, float] = {}
        self._logits: dict[int, Taken] = {}

    def sites(self, output: Tensor) -> dict[Site, Taken]:
        """What was seen, by place, in execution order; ``output`` is what the model returned."""
        found: dict[Site, Taken] = {}
        readers = self._readers()
        for index in sorted({*self._weighted, *self._logits}):
            record = self.records[index]
            if index in self._logits:
                found[_site(record, "logits", found)] = self._logits[index]
            elif not self._is_only_scaled(readers.get(index, [])):
                found[_site(self._weight_behind(record), "weighted", found)] = self._weighted[index]
        node = self.node_of(output)
        if output.numel() > 1 and (node is None or self._behind(node.index) not in self._weighted):
            found[Site("", 0, "output", 0, "output")] = Taken(_sample(output))
        return found

    def _observe(self, func: Any, spec: Spec, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        before = len(self.records)
        result = super()._observe(func, spec, args, kwargs)
        if len(self.records) > before and self.phase == "forward" and self.records[-1].from_input:
            with torch._C.DisableTorchFunction():
                self._take(func, self.records[-1], args, kwargs, result)
        return result

    def _take(self, func: Any, record: Record, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> None:
        first = next(iter(flat_tensors([result])), None)
        if first is None or not first.is_floating_point():
            return
        if record.kind == "weighted":
            use = next((use for slot in WEIGHTS for use in record.uses if use.slot == slot), None)
            reach = None if use is None else (use.fan_in or 1.0) * self._input_size(args, kwargs)
            self._weighted[record.index] = Taken(_sample(first), reach, None if use is None else use.parameter)
        elif record.kind == "product":
            if (size := _reach_of_product(func, args)) is not None:
                self._products[record.index] = size
        elif record.kind == "multiply":
            self._scale(record, args, kwargs, first)
        elif record.kind == "softmax":
            self._keep_logits(record, argument(args, kwargs, 0, "input"))
        elif record.name == "scaled_dot_product_attention":
            self._keep_hidden_logits(record, argument(args, kwargs, 0, "query"), argument(args, kwargs, 1, "key"))

    def _is_worth_measuring(self, _: Record) -> bool:
        return False

    def _flatness(self, *_: Any) -> None:
        return None

    def _input_size(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        """Rms of the data; 1 for indices, which pick one row."""
        for operand in flat_tensors((*args, *kwargs.values())):
            node = self.node_of(operand)
            if node is not None and node.from_input:
                return rms(_sample(operand)) if operand.is_floating_point() else 1.0
        return 1.0

    def _scale(self, record: Record, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """A followed result times something that the batch does not reach: the factor is part of it."""
        live = self._live(record)
        source = self._behind(live[0]) if len(live) == 1 else None
        if source is None or (source not in self._weighted and source not in self._products):
            return
        factor = self._factor(record, args, kwargs)
        if source in self._products:
            self._products[record.index] = self._products[source] * factor
        else:
            _, reach, parameter = self._weighted[source]
            self._weighted[record.index] = Taken(_sample(result), reach and reach * factor, parameter)

    def _factor(self, record: Record, args: tuple[Any, ...], kwargs: dict[str, Any]) -> float:
        for value in (*args[:2], kwargs.get("other")):
            node = self.node_of(value) if isinstance(value, Tensor) else None
            if value is None or (node is not None and node.from_input):
                continue
            size = rms(_sample(value)) if isinstance(value, Tensor) else abs(float(value))
            return 1 / size if record.name == "div" and size else size
        return 1.0

    def _keep_logits(self, record: Record, logits: Any) -> None:
        node = self.node_of(logits) if isinstance(logits, Tensor) else None
        source = self._behind(node.index) if node is not None else None
        if source in self._products:
            self._logits[record.index] = Taken(None, self._products[source])

    def _keep_hidden_logits(self, record: Record, query: Any, key: Any) -> None:
        if not isinstance(query, Tensor) or not isinstance(key, Tensor) or query.is_nested or key.is_nested:
            return
        given, width = record.attributes.get("scale"), query.shape[-1]
        scale = given if isinstance(given, float) else width**-0.5
        self._logits[record.index] = Taken(None, abs(scale) * width * rms(_sample(query)) * rms(_sample(key)))

    def _live(self, record: Record) -> list[int]:
        return [index for index in record.inputs if self.records[index].from_input]

    def _behind(self, index: int | None) -> int | None:
        """What a result is through views, biases and masks, which keep its scale."""
        while index is not None and self._is_passed(self.records[index]):
            index = next(iter(self._live(self.records[index])), None)
        return index

    def _is_passed(self, record: Record) -> bool:
        is_offset = record.kind == "add" or record.name in _MASKS
        return record.kind in ("view", "dropout") or (is_offset and len(self._live(record)) == 1)

    def _weight_behind(self, record: Record) -> Record:
        """The weighted operation whose scaled result this is, or the record itself."""
        while record.kind == "multiply" and (source := self._behind(self._live(record)[0])) is not None:
            record = self.records[source]
        return record

    def _readers(self) -> dict[int, list[int]]:
        """Operations that read each result, through views, biases and masks."""
        readers: dict[int, list[int]] = {}
        for record in self.records:
            for index in () if self._is_passed(record) else self._live(record):
                if (source := self._behind(index)) is not None:
                    readers.setdefault(source, []).append(record.index)
        return readers

    def _is_only_scaled(self, reading: list[int]) -> bool:
        return bool(reading) and all(
            self.records[each].kind == "multiply" and each in self._weighted for each in reading
        )


def names_of(sites: list[Site]) -> dict[Site, str]:
    """A short name for each place: the module alone where that is enough."""
    counts: dict[tuple[str, str], int] = {}
    for site in sites:
        counts[site.module, site.kind] = counts.get((site.module, site.kind), 0) + 1
    seen: dict[str, int] = {}
    names: dict[Site, str] = {}
    for site in sites:
        is_plain = site.kind == "weighted" and counts[site.module, site.kind] == 1 and site.module
        what = "" if is_plain else "attention logits" if site.kind == "logits" else site.name
        name = " ".join(filter(None, [site.module, what]))
        seen[name] = seen.get(name, 0) + 1
        names[site] = name if seen[name] == 1 else f"{name} #{seen[name]}"
    return names


def rms(sample: Tensor) -> float:
    """Root of the mean square; 0 for nothing."""
    return float(sample.detach().square().mean().sqrt()) if sample.numel() else 0.0


def _reach_of_product(func: Callable[..., Tensor], args: tuple[Any, ...]) -> float | None:
    """Size of the inner products a b with a and b aligned: sqrt(n sum_i a_i^2 b_i^2) for n terms each.

    Both sums come from the operation itself, run on squares and on ones, so that any contraction will do.
    """
    operands = [operand for operand in flat_tensors(args) if operand.is_floating_point()]
    if len(operands) != 2:
        return None
    squares, ones = (_replaced(args, change) for change in (lambda x: x.detach().square(), torch.ones_like))
    try:
        return float((func(*squares).double() * func(*ones).double()).mean().sqrt())
    except (RuntimeError, TypeError):  # a product of another kind
        return None


def _replaced(args: tuple[Any, ...], change: Callable[[Tensor], Tensor]) -> tuple[Any, ...]:
    return tuple(
        change(each) if isinstance(each, Tensor) else [change(item) for item in each]
        if isinstance(each, list | tuple) and all(isinstance(item, Tensor) for item in each)
        else each
        for each in args
    )  # fmt: skip


def _site(record: Record, kind: str, found: dict[Site, Taken]) -> Site:
    key = (record.module, record.call, record.name, kind)
    number = sum((site.module, site.call, site.name, site.kind) == key for site in found)
    return Site(record.module, record.call, record.name, number, kind)


def _sample(tensor: Tensor) -> Tensor:
    """At most MOST elements in float64, the same ones for every tensor of that size."""
    flat = tensor.detach().reshape(-1)
    if flat.numel() > MOST:
        generator = torch.Generator().manual_seed(flat.numel())
        chosen = torch.randint(flat.numel(), (MOST,), generator=generator)
        flat = flat[chosen.to(flat.device)]
    return flat.to(torch.float64, copy=True)
