"""Is a signal a gate? Found in the dataflow, never by name: what it ends in is a product with another live signal."""

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation

_SHORT = 2
"""Weighted operations a gating branch may hold: squeeze-and-excite has two."""


def is_gate(graph: Graph, index: int) -> bool:
    """Whether the result only weighs other signals: every way on from it ends in a product, before any weight."""
    return _ends_in_products(graph, index, 0)


def is_in_gating_branch(graph: Graph, index: int) -> bool:
    """Whether everything computed from the result is a gate, at most two weighted operations away."""
    return _ends_in_products(graph, index, _SHORT)


def _ends_in_products(graph: Graph, start: int, weights: int) -> bool:
    """Whether every way on from ``start`` ends as one factor of a product, through at most ``weights`` weights.

    A product of two signals that both come from ``start`` gates nothing: that is attention or a gated layer behind it.
    """
    ways = [(start, weights)]
    seen, products = set(ways), list[Operation]()
    while ways:
        index, left = ways.pop()
        readers = [graph.trace.operations[reader] for reader in graph.readers[index]]
        products += [reader for reader in readers if _is_product(reader)]
        for reader in readers:
            after = reader.index, left - (reader.kind == "weighted")
            if _is_product(reader) or after in seen:
                continue
            if after[1] < 0 or _is_elsewhere(reader):
                return False
            seen.add(after)
            ways.append(after)
        if not readers:
            return False
    walked = {index for index, _ in seen}
    return all(sum(source in walked for source in product.inputs) == 1 for product in products)


def _is_elsewhere(reader: Operation) -> bool:
    return reader.in_loss or reader.kind in ("loss", "attention") or reader.role.endswith("residual")


def _is_product(operation: Operation) -> bool:
    """A product of two live signals: a gate, an activation written out, attention weights times values."""
    return operation.role in ("gate", "self-gate") or operation.kind == "product"


def is_elementwise_gate(graph: Graph, index: int) -> bool:
    """Whether the result multiplies, entry by entry, other signals that later weights read, and does nothing else.

    Weights of an attention are none, nor is an activation written out, nor what only scales the output.
    """
    if not is_gate(graph, index) or is_last(graph, index):
        return False
    products, queue = list[Operation](), [index]
    for each in queue:
        readers = [graph.trace.operations[reader] for reader in graph.readers[each]]
        products += [reader for reader in readers if _is_product(reader)]
        queue += [reader.index for reader in readers if reader.kind in ("view", "dropout")]
    return bool(products) and all(product.role == "gate" for product in products)


def is_last(graph: Graph, index: int) -> bool:
    """Whether no contraction comes after it: it feeds the loss or is the output."""
    after = graph.downstream({index}) - {index}
    return not any(graph.trace.operations[other].kind in ("weighted", "product") for other in after)
