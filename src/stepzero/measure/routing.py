"""Was a module passed over by a router? Found in the dataflow: its twins read rows that the data chose."""

from collections import defaultdict
from collections.abc import Iterable, Iterator

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import live_inputs

_STEPS = 8
"""Views that lie between the choice of rows and the expert that reads them."""
_CARRIES = frozenset(["view", "dropout"])
_CHOICES = frozenset(["topk", "argmax", "sort", "argsort"])
_SQUASHES = frozenset(["softmax", "activation"])
_FLOATS = ("float", "bfloat", "complex")


def passed_over(trace: Trace, paths: Iterable[str]) -> set[str]:
    """Those of the unused modules at ``paths`` that have a sibling of the same build which was routed to."""
    builds, routed = _builds(trace), _routed(trace)
    reached = {(_parent(path), builds.get(path)) for path in routed}
    return {path for path in paths if builds.get(path) and (_parent(path), builds[path]) in reached}


def is_chosen(trace: Trace, operation: Operation) -> bool:
    """Whether the rows that ``operation`` reads were picked by indices or a mask computed from the batch."""
    sources = live_inputs(trace, operation)
    for _ in range(_STEPS):
        if len(sources) != 1:
            return False
        (source,) = sources
        sources = live_inputs(trace, source)
        floats = [_is_float(other) for other in sources]
        if any(floats) and not all(floats):
            return True
        if source.kind not in _CARRIES:
            return False
    return False


def is_ranked(graph: Graph, index: int) -> bool:
    """Whether a result is ranked a few elementwise operations later: scores that choose experts or tokens."""
    near = {index}
    for _ in range(_STEPS):
        readers = [graph.trace.operations[reader] for each in near for reader in graph.readers[each]]
        if any(reader.name in _CHOICES for reader in readers):
            return True
        near = {reader.index for reader in readers if reader.kind in _CARRIES | {"add", "multiply"}}
    return False


def routers(trace: Trace) -> Iterator[Operation]:
    """Weighted operations whose results, as they are or as probabilities, are ranked to choose some of them."""
    for choice in trace.operations:
        if choice.name not in _CHOICES or not choice.from_input:
            continue
        operation, steps = choice, 0
        while operation.kind != "weighted" and steps < _STEPS and len(sources := live_inputs(trace, operation)) == 1:
            operation, steps = sources[0], steps + 1
            if operation.kind not in _CARRIES | _SQUASHES and operation.kind != "weighted":
                break
        if operation.kind == "weighted":
            yield operation


def _routed(trace: Trace) -> set[str]:
    """Every module whose first weight reads chosen rows: an expert, and not the layer that holds it."""
    first: dict[str, bool] = {}
    for operation in trace.weighted():
        steps = operation.module.split(".") if operation.module else []
        paths = [".".join(steps[:depth]) for depth in range(1, len(steps) + 1)]
        if not first.keys() >= set(paths):
            chosen = is_chosen(trace, operation)
            first = {**dict.fromkeys(paths, chosen), **first}
    return {path for path, is_routed in first.items() if is_routed}


def _builds(trace: Trace) -> dict[str, frozenset[tuple[str, tuple[int, ...]]]]:
    """For each module the names, relative to it, and the shapes of its parameters."""
    parts: dict[str, set[tuple[str, tuple[int, ...]]]] = defaultdict(set)
    for fact in trace.parameters:
        for name in (fact.name, *fact.aliases):
            steps = name.split(".")
            for depth in range(1, len(steps)):
                parts[".".join(steps[:depth])].add((".".join(steps[depth:]), fact.shape))
    return {path: frozenset(build) for path, build in parts.items()}


def _parent(path: str) -> str:
    return path.rpartition(".")[0]


def _is_float(operation: Operation) -> bool:
    return operation.dtype.startswith(_FLOATS)
