"""Paths through the graph that decide a weight's size: where a branch ends, whether scores are scaled."""

import math
from collections.abc import Collection
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, Trace
from stepzero.measure.uses import live_inputs, weight_use

JOINS = ("residual", "projection-residual")
_PASSES = ("view", "dropout", "pool", "join")
_STEPS = 8
"""How far to look along a chain of operations: a bias, dropout, a mask and a few views lie in between."""


@dataclass(frozen=True, slots=True)
class End:
    """Where a residual branch ends: on what kind of stream, and how many branches share it."""

    branches: int
    is_normed: bool = False
    """Whether a norm stands on the stream itself, behind each addition (post-norm), and not in the branches."""

    @property
    def share(self) -> float:
        """Variance of the branch over that of the stream it joins: 1 / L, behind norms 1 / (4 L^1.5), of L branches.

        A stream that nothing scales grows to (1 + 1/L)^L <= e. A norm behind every addition undoes that growth, but
        also takes as much off what earlier branches said, and errors of all branches add up: post-norm networks need
        branches that are smaller the more there are. DeepNorm (2203.00555) multiplies the skip by (2 N)^(1/4) and both
        weights of a branch by (8 N)^(-1/4) in N layers of L / N = 2 branches, which makes that share of variance
        (8 N)^-1 (2 N)^(-1/2). The norm takes a common factor away, so that the branch alone can carry it.
        """
        return 0.25 * self.branches**-1.5 if self.is_normed else 1 / self.branches


def unscaled_queries(trace: Trace) -> dict[str, float]:
    """Weights that make queries whose scores reach their softmax larger than 1 / sqrt(head width), and the factor.

    With q and k of unit size a score has standard deviation sqrt(d): whoever leaves the root out (T5) has to draw the
    query smaller by it (Raffel et al. 2020).
    """
    graph, found = Graph(trace), dict[str, float]()
    for operation in trace.operations:
        scale = _scale(graph, operation)
        if scale is None or not operation.inputs:
            continue
        query = trace.operations[operation.inputs[0]]
        factor = min(1.0, 1 / (scale * math.sqrt(query.shape[-1]))) if scale > 0 and query.shape else 1.0
        name = last_weight(trace, query)
        if name is not None and factor < 1.0 and not _is_scaled_before(trace, query):
            found.setdefault(name, factor)
    return found


def _scale(graph: Graph, operation: Operation) -> float | None:
    """What the scores are multiplied with before the softmax; None when there is none, or it is not told."""
    if operation.kind == "attention":
        scale = operation.attributes.get("scale")
        return float(scale) if isinstance(scale, int | float) else None
    if operation.kind != "product":
        return None
    for _ in range(_STEPS):
        readers = [graph.trace.operations[index] for index in graph.readers[operation.index]]
        if len(readers) != 1 or readers[0].in_loss:
            return None
        operation = readers[0]
        if operation.kind == "softmax":
            return 1.0
        if operation.role == "scale" or operation.kind not in ("add", "view", "dropout", "other"):
            return None
    return None


def _is_scaled_before(trace: Trace, operation: Operation) -> bool:
    for _ in range(_STEPS):
        if operation.role in ("scale", "norm") or operation.kind in ("norm", "multiply"):
            return True
        sources = live_inputs(trace, operation)
        if operation.kind == "weighted" or len(sources) != 1:
            return False
        operation = sources[0]
    return False


def branch_ends(trace: Trace) -> dict[str, End]:
    """The last weight of each residual branch, and what it joins."""
    graph = Graph(trace)
    adds = [operation for operation in trace.operations if operation.role in JOINS and not operation.in_loss]
    places = {add.index for add in adds}
    near = {add.index: (graph.upstream({add.index}) | graph.downstream({add.index})) & places for add in adds}
    normed = _behind_norms(trace, [add for add in adds if add.role == "residual"])
    ends: dict[str, End] = {}
    for add in adds:
        sources = sorted(live_inputs(trace, add), key=lambda source: source.index)
        if add.role == "residual" and len(sources) == 2 and (name := last_weight(trace, sources[1])):
            ends.setdefault(name, End(len(near[add.index]), add.index in normed))
    return ends


def _behind_norms(trace: Trace, adds: Collection[Operation]) -> set[int]:
    """Additions between which and their neighbours on the stream there is a norm each time."""
    links: dict[int, list[bool]] = {}
    for add in adds:
        skip, is_normed = min(live_inputs(trace, add), key=lambda source: source.index), False
        for _ in range(_STEPS):
            sources = live_inputs(trace, skip)
            if skip.role in JOINS or len(sources) != 1 or skip.kind not in ("norm", "activation", *_PASSES):
                break
            is_normed |= skip.kind == "norm"
            skip = sources[0]
        if skip.role in JOINS:
            links.setdefault(add.index, []).append(is_normed)
            links.setdefault(skip.index, []).append(is_normed)
    return {index for index, found in links.items() if all(found)}


def last_weight(trace: Trace, operation: Operation) -> str | None:
    """The weight or norm gain behind which nothing but linear passes, biases and factors stands."""
    for _ in range(_STEPS):
        if operation.kind == "norm":
            return next((use.parameter for use in operation.uses if use.slot == "gain"), None)
        if operation.kind == "weighted":
            use = weight_use(operation)
            return use.parameter if use is not None and use.slot == "weight" else None
        sources = live_inputs(trace, operation)
        is_passed = operation.kind in _PASSES or operation.role in ("bias", "scale") or operation.kind == "multiply"
        if not is_passed or len(sources) != 1:
            return None
        operation = sources[0]
    return None
