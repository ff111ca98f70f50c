"""Residual streams: runs of blocks that each add a branch to what they were given.

Legend: N blocks of a run, x_k the stream behind block k, f_k its branch: x_k = x_{k-1} + f_k(x_{k-1}).
"""

from collections.abc import Iterator
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import feeding, live_inputs

_PASSES = frozenset(["view", "dropout", "activation"])


@dataclass(frozen=True, slots=True)
class Block:
    """One residual addition."""

    entry: Operation
    """What the skip carries."""
    branch: Operation
    """What is added to it."""
    add: Operation
    is_normalised: bool
    """Whether a norm stands anywhere in the branch."""


@dataclass(frozen=True, slots=True)
class Stream:
    """Consecutive blocks of one kind, with nothing but views and activations between them."""

    blocks: tuple[Block, ...]

    @property
    def is_normalised(self) -> bool:
        """Whether its branches hold norms: then each adds about as much as the one before, whatever the stream is."""
        return self.blocks[0].is_normalised

    @property
    def seen(self) -> tuple[Block, ...]:
        """Blocks up to the last whose sum was measured: one loop in one module is looked at 16 times, then seldom."""
        last = max((index for index, block in enumerate(self.blocks) if block.add.forward is not None), default=-1)
        return self.blocks[: last + 1]

    @property
    def growth(self) -> float | None:
        """rms(x_n) / rms(x_0) over the n blocks seen; None where either was not measured or is zero."""
        if not (seen := self.seen):
            return None
        first, last = seen[0].entry.forward, seen[-1].add.forward
        if first is None or last is None or not first.rms or last.nonfinite or first.nonfinite:
            return None
        return last.rms / first.rms

    @property
    def gradient_growth(self) -> float | None:
        """Rms of the gradient at x_0 (at x_1 where x_0 is data) over that at x_n."""
        if not (seen := self.seen):
            return None
        first, last = seen[0].entry.backward or seen[0].add.backward, seen[-1].add.backward
        return first.rms / last.rms if first is not None and last is not None and last.rms else None

    def last_weights(self, trace: Trace) -> tuple[str, ...]:
        """The weight that each branch ends in."""
        found = (feeding(trace, block.branch) for block in self.blocks)
        return tuple(dict.fromkeys(names[0] for names in found if names))


def streams(trace: Trace) -> Iterator[Stream]:
    """Every run, in execution order; a block belongs to one run."""
    graph, runs = Graph(trace), dict[int, list[Block]]()
    for operation in trace.operations:
        if (block := _block(graph, operation)) is None:
            continue
        before = _block_before(trace, block)
        run = runs.pop(before) if before in runs and runs[before][0].is_normalised is block.is_normalised else []
        runs[operation.index] = [*run, block]
    yield from (Stream(tuple(run)) for run in runs.values())


def _block(graph: Graph, operation: Operation) -> Block | None:
    sources = live_inputs(graph.trace, operation)
    if operation.role != "residual" or operation.in_loss or len(sources) != 2:
        return None
    entry, branch = sorted(sources, key=lambda source: source.index)
    inside = graph.between(entry.index, branch.index) - {entry.index}
    return Block(
        _measured(graph.trace, entry), branch, operation, any(_is_norm(graph.trace, index) for index in inside)
    )


def _is_norm(trace: Trace, index: int) -> bool:
    operation = trace.operations[index]
    return operation.role == "norm" or operation.kind in ("norm", "softmax", "attention")


def _measured(trace: Trace, operation: Operation) -> Operation:
    """The operation itself, or what it is a view of."""
    while operation.forward is None and operation.kind in _PASSES and len(live_inputs(trace, operation)) == 1:
        operation = live_inputs(trace, operation)[0]
    return operation


def _block_before(trace: Trace, block: Block) -> int:
    """Index of the residual addition that the block's stream comes from unchanged; -1 when there is none."""
    operation = block.entry
    while operation.role != "residual":
        sources = live_inputs(trace, operation)
        if operation.kind not in _PASSES or len(sources) != 1:
            return -1
        operation = sources[0]
    return operation.index
