"""The activations that a coordinate check follows, taken from one forward pass: responses, attention logits, output.

Followed: the result of every weighted operation, what an attention's softmax reads, and the output. A constant factor
right behind a weight or a product counts as part of it: the readout multiplier of the maximal update parametrisation,
the scale of the logits.

An inner product of n terms is n times the product of its factors' sizes once they are aligned, and only sqrt(n) times
while they are not. Training aligns them, in wide models within a few steps and in narrow ones later; the *reach* of
an operation is its size with everything aligned (Yang et al. 2022, arXiv 2203.03466, on the scale 1/d of attention).
"""

from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from stepzero.measure.uses import WEIGHTS
from stepzero.probe.capture import eager, module_path
from stepzero.probe.loss import loss_of, main_output
from stepzero.probe.nodes import Record
from stepzero.probe.places import Site, Taken, reach_of_product, rms, sample_of, site_of
from stepzero.probe.recorder import Recorder
from stepzero.probe.restore import Guard, seed_everything
from stepzero.probe.sampler import Sampler
from stepzero.probe.subject import Subject, copied_batch
from stepzero.probe.transfer import Ledger
from stepzero.probe.uses import argument, flat_tensors
from stepzero.probe.vocabulary import Spec

_MASKS = frozenset(["masked_fill", "where", "masked_scatter"])


def follow(subject: Subject) -> tuple[Tensor, dict[Site, Taken]]:
    """One forward of the model as it is: the loss, which can be differentiated, and what is followed."""
    follower = Follower(subject.model)
    args, kwargs = copied_batch(subject)
    seed_everything(subject.seed)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(mode=False))
        stack.enter_context(torch.enable_grad())
        stack.enter_context(eager())
        stack.enter_context(module_path(follower))
        for name, tensor in Subject(subject.model, args, kwargs).named_inputs():
            follower.add_input(name, tensor)
        stack.enter_context(follower)
        output = subject.model(*args, **kwargs)
        follower.phase, follower.stack[:] = "loss", [("", 0)]
        with torch._C.DisableTorchFunction():
            seen = follower.sites(main_output(output))
        loss, _ = loss_of(output, subject.loss, subject.target, subject.seed)
    return loss, seen


class Follower(Recorder):
    """A recorder that keeps samples of the followed activations and measures nothing else."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__(model, Guard(), Sampler(Ledger()))
        self._weighted: dict[int, Taken] = {}
        self._products: dict[int, float] = {}
        self._logits: dict[int, Taken] = {}
        self._constants: dict[int, float] = {}

    def sites(self, output: Tensor) -> dict[Site, Taken]:
        """What was seen, by place, in execution order; ``output`` is what the model returned."""
        found: dict[Site, Taken] = {}
        readers = self._readers()
        for index in sorted({*self._weighted, *self._logits}):
            record = self.records[index]
            if index in self._logits:
                found[site_of(record, "logits", found)] = self._logits[index]
            elif not self._is_only_scaled(index, readers) and self._is_first(record, readers):
                found[site_of(self._weight_behind(record), "weighted", found)] = self._weighted[index]
        node = self.node_of(output)
        if output.numel() > 1 and (node is None or self._behind(node.index) not in self._weighted):
            found[Site("", 0, "output", 0, "output")] = Taken(sample_of(output))
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
            name, factor = None if use is None else use.parameter, self._factor_in_front(record)
            self._weighted[record.index] = Taken(sample_of(first), reach, name, factor)
        elif record.kind == "product":
            if (size := reach_of_product(func, args)) is not None:
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
                return rms(sample_of(operand)) if operand.is_floating_point() else 1.0
        return 1.0

    def _scale(self, record: Record, args: tuple[Any, ...], kwargs: dict[str, Any], result: Tensor) -> None:
        """A followed result times something that the batch does not reach: the factor is part of it."""
        live = self._live(record)
        if len(live) != 1:
            return
        source, factor = self._behind(live[0]), self._factor(args, kwargs, is_division=record.name == "div")
        self._constants[record.index] = factor
        if source in self._products:
            self._products[record.index] = self._products[source] * factor
        elif source in self._weighted:
            _, reach, parameter, multiplier = self._weighted[source]
            reach = None if reach is None else reach * factor
            self._weighted[record.index] = Taken(sample_of(result), reach, parameter, multiplier * factor)

    def _factor_in_front(self, record: Record) -> float:
        """Of the constants that the data of a weight were multiplied by on their way from the last other operation."""
        factor = 1.0
        index = self._behind(next(iter(self._live(record)), None))
        while index in self._constants:
            factor *= self._constants[index]
            index = self._behind(self._live(self.records[index])[0])
        return factor

    def _factor(self, args: tuple[Any, ...], kwargs: dict[str, Any], *, is_division: bool) -> float:
        for value in (*args[:2], kwargs.get("other")):
            node = self.node_of(value) if isinstance(value, Tensor) else None
            if value is None or (node is not None and node.from_input):
                continue
            size = rms(sample_of(value)) if isinstance(value, Tensor) else abs(float(value))
            return 1 / size if is_division and size else size
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
        self._logits[record.index] = Taken(None, abs(scale) * width * rms(sample_of(query)) * rms(sample_of(key)))

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

    def _is_only_scaled(self, index: int, readers: dict[int, list[int]]) -> bool:
        reading = readers.get(index, [])
        return bool(reading) and all(
            self.records[each].kind == "multiply" and each in self._weighted for each in reading
        )

    def _is_first(self, record: Record, readers: dict[int, list[int]]) -> bool:
        """Whether it is no scaled copy of a result that is followed itself, as in rotary embeddings."""
        if record.kind != "multiply":
            return True
        source = self._behind(self._live(record)[0])
        return (
            source is not None
            and self._is_only_scaled(source, readers)
            and self._is_first(self.records[source], readers)
        )
