"""What does a zero do first? Followed from where it is read to where it meets something that is not zero."""

from typing import Literal, TypeAlias

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.gates import is_gate, is_last
from stepzero.measure.uses import readings

Meeting: TypeAlias = Literal["stream", "factor", "gate", "logits", "offsets", "weight", "loss", "joined", "constant"]
"""stream: added to a signal; factor: becomes a factor of exactly 1; gate: becomes another factor; logits: into a
softmax or attention; offsets: moves the places another signal is read at; weight: added to another parameter; loss:
is the output; joined: stands beside a signal; constant: is the same for every sample, and the network reads that."""

_THROUGH = frozenset(["view", "dropout", "pool"])
_COPIES = frozenset(["repeat", "repeat_interleave", "tile"])
_TIMES = frozenset(["multiply", "product", "weighted"])
_SAMPLES = frozenset(["grid_sample", "grid_sampler", "deform_conv2d"])


class ZeroPaths:
    """Follows the zeros of one Trace."""

    def __init__(self, trace: Trace) -> None:
        self.graph = Graph(trace)
        self.facts = {fact.name: fact for fact in trace.parameters}
        self.read = readings(trace)

    def starts(self, fact: TensorFact) -> list[tuple[Operation, ParameterUse]]:
        """Where the parameter meets the batch; where it is prepared, when what comes of that is not zero there."""
        read = self.read.get(fact.name, [])
        live = [each for each in read if each[0].from_input]
        is_met = any(not use.is_derived or self._is_zero(operation, set()) for operation, use in live)
        return live if is_met else [each for each in read if not each[1].is_derived]

    def meetings(self, fact: TensorFact) -> set[Meeting]:
        """Everything a zero parameter meets first, over all of its uses."""
        starts = self.starts(fact)
        roots = [operation for operation, _ in starts if self._is_zero(operation, set())]
        zero = self.passed(*roots)
        own = {self._own(operation, use) for operation, use in starts if operation.index not in zero}
        return own | self._walk(zero)

    def passed(self, *roots: Operation) -> set[int]:
        """Operations behind zero ``roots`` whose results are zero because theirs are, themselves included."""
        zero, queue = {root.index for root in roots}, [root.index for root in roots]
        for index in queue:
            for reader in self._readers(index):
                if reader.index not in zero and not _is_loss(reader) and self._is_zero(reader, zero):
                    zero.add(reader.index)
                    queue.append(reader.index)
        return zero

    def _walk(self, zero: set[int]) -> set[Meeting]:
        found: set[Meeting] = set()
        for index in zero:
            readers = self._readers(index)
            found |= {self._meeting(reader, index, zero) for reader in readers if reader.index not in zero}
            if not readers:
                found.add("loss")
        return found

    def _readers(self, index: int) -> list[Operation]:
        return [self.graph.trace.operations[reader] for reader in self.graph.readers[index]]

    def _is_zero(self, operation: Operation, zero: set[int]) -> bool:
        """Measured where it was, else what zeros in give: views keep them, products too, sums only of zeros."""
        if operation.forward is not None:
            return operation.forward.rms == 0.0
        if operation.kind in _THROUGH or operation.kind in _TIMES or operation.name in _COPIES:
            return not self._adds(operation)
        is_sum = operation.kind in ("add", "join") and not self._adds(operation)
        return is_sum and all(index in zero or self._is_part(operation, index) for index in operation.inputs)

    def _is_part(self, reader: Operation, index: int) -> bool:
        """Whether the input is a slice of a parameter, which the reader then names among its uses."""
        source = self.graph.trace.operations[index]
        return source.kind == "view" and not source.from_input and not source.inputs and len(reader.uses) > 0

    def _adds(self, operation: Operation) -> list[TensorFact]:
        """Parameters that are not zero and are added by the operation."""
        added = (
            self.facts.get(use.parameter)
            for use in operation.uses
            if use.slot in ("bias", "shift") or operation.kind in ("add", "join")
        )
        return [fact for fact in added if fact is not None and not fact.is_zero]

    def _own(self, operation: Operation, use: ParameterUse) -> Meeting:
        """What a zero meets in the very operation that reads it, whose result is not zero."""
        if operation.kind == "add":
            return "stream" if operation.inputs else "weight"
        if operation.kind == "attention":
            return "stream" if use.slot in ("table", "operand") else "logits"
        if operation.kind == "join":
            return "joined"
        met = self._alone(operation)
        return "offsets" if met == "gate" and operation.kind == "weighted" else met  # a bias of its own sets it

    def _meeting(self, reader: Operation, source: int, zero: set[int]) -> Meeting:
        if _is_loss(reader):
            return "loss"
        if reader.kind == "add":
            return self._sum(reader, zero)
        if reader.kind == "attention":
            return "logits" if self._is_query_or_key(reader, source) else "stream"
        if reader.kind == "join":
            return "joined"
        if (reader.name in _SAMPLES or reader.kind == "weighted") and reader.inputs[0] not in zero:
            return "offsets"
        if reader.kind in ("weighted", "norm", "product"):
            return "constant"
        if reader.kind == "softmax" and not is_last(self.graph, reader.index):
            return "logits"
        return self._alone(reader)

    def _is_query_or_key(self, attention: Operation, source: int) -> bool:
        """Told by place, and from a mask by width, for inputs that are the same are listed once."""
        widths = [self.graph.trace.operations[index].shape[-1:] for index in attention.inputs]
        place = attention.inputs.index(source)
        return place == 0 or (place == 1 and widths[1] == widths[0])

    def _sum(self, reader: Operation, zero: set[int]) -> Meeting:
        if not zero.issuperset(reader.inputs):
            return "offsets" if self._is_read_as_places(reader.index) else "stream"
        return "weight" if self._adds(reader) and not reader.from_input else self._alone(reader)

    def _alone(self, reader: Operation) -> Meeting:
        """One signal that is not zero, though all it was computed from is: 1 + 0, exp(0), sigmoid(0), a bias."""
        if self._is_read_as_places(reader.index):
            return "offsets"
        if is_gate(self.graph, reader.index) and not self._is_contracted(reader.index):
            return "factor" if reader.forward is not None and reader.forward.rms == 1.0 else "gate"
        return "loss" if is_last(self.graph, reader.index) else "constant"

    def _is_contracted(self, index: int) -> bool:
        """Whether a product of two signals, as in attention, reads the result through views."""
        queue = [index]
        for each in queue:
            readers = self._readers(each)
            if any(reader.kind == "product" for reader in readers):
                return True
            queue += [reader.index for reader in readers if reader.kind in _THROUGH]
        return False

    def _is_read_as_places(self, index: int) -> bool:
        """Whether every way on ends where another signal is sampled, before any weight."""
        queue, seen, is_read = [index], {index}, False
        for each in queue:
            for reader in self._readers(each):
                if reader.name in _SAMPLES:
                    is_read = True
                elif reader.kind in ("weighted", "norm", "attention", "loss") or reader.in_loss:
                    return False
                elif reader.index not in seen:
                    seen.add(reader.index)
                    queue.append(reader.index)
        return is_read


def _is_loss(operation: Operation) -> bool:
    return operation.in_loss or operation.kind == "loss"
