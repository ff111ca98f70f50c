"""SZ307."""

import math

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, Trace
from stepzero.measure.norms import sized_by_norm
from stepzero.measure.uses import feeding, live_inputs

_BETWEEN = frozenset(["view", "dropout", "add", "multiply", "other"])
_SUMS = 3
"""Sums of two live signals between the softmax and the product: masks and biases."""


@rule("SZ307", "sharp-attention", tier=1, limits=("sharp_std", "sharp_min_keys", "sharp_certain"))
def sharp_attention(trace: Trace, limits: Limits) -> Verdict:
    """Attention starts so sharp that a handful of keys hold all the mass.

    What it finds
    -------------
    The standard deviation sigma of the logits over the keys of a query, of the part that differs between samples.
    Reported above sqrt(ln T) for T unmasked keys (at least 8): there the entropy has fallen to about half of ln T.

    Why it matters
    --------------
    At sigma = sqrt(2 ln T) a sum of exponentials freezes: whatever T is, a few keys hold all the mass, chosen by the
    draw. The softmax is flat there, so queries and keys hardly learn. Scores that are not divided by the root of the
    head width do this.

    When it is fine
    ---------------
    Flat attention trains well (zero logits, scores divided by the width). Masks and distance biases are the same for
    all samples and do not count. A learned temperature is the model's own business, and so is the scale behind
    queries and keys that are both normalised: no weight sets it. One sample and fewer than eight keys are not judged.

    Bad
    ---
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self, width=128):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
            for layer in (self.q, self.k):
                nn.init.xavier_uniform_(layer.weight)

        def forward(self, x):
            scores = self.q(x) @ self.k(x).mT
            return scores.softmax(-1) @ self.v(x)

    def build():
        return Attention(), torch.randn(8, 32, 128)

    expected = ("q.weight", "k.weight")

    Good
    ----
    import torch
    from torch import nn

    class Attention(nn.Module):
        def __init__(self, width=128):
            super().__init__()
            self.q, self.k, self.v = (nn.Linear(width, width) for _ in range(3))
            for layer in (self.q, self.k):
                nn.init.xavier_uniform_(layer.weight)

        def forward(self, x):
            scores = self.q(x) @ self.k(x).mT / 128**0.5
            return scores.softmax(-1) @ self.v(x)

    def build():
        return Attention(), torch.randn(8, 32, 128)

    Fix
    ---
    Divide the scores by the root of the head width, or rescale the query and key weights so that sigma is about 1.

    References
    ----------
    Vaswani et al. 2017; Derrida 1981; huggingface/blog#2893; clankur/einygpt#3.
    """
    graph, said = Graph(trace), set[tuple[str, ...]]()
    for operation in trace.operations:
        sigma, keys = operation.attributes.get("row_std"), operation.attributes.get("row_keys")
        if not isinstance(sigma, float) or not isinstance(keys, float) or keys <= 1:
            continue
        pair = _query_and_key(graph, operation)
        limit = limits.sharp_std * math.sqrt(math.log(keys))
        if keys < limits.sharp_min_keys:
            limit *= limits.sharp_certain
        if pair is None or not sigma > limit or all(sized_by_norm(trace, side) for side in pair):
            continue
        where = tuple(dict.fromkeys(name for side in pair for name in feeding(trace, side)))
        where = where or (operation.module or trace.model,)
        if where not in said:
            said.add(where)
            yield _finding(operation, where, sigma, keys, limit)


def _query_and_key(graph: Graph, operation: Operation) -> tuple[Operation, ...] | None:
    """What the scores are the product of; None where this is no attention, or its temperature is learned."""
    trace = graph.trace
    if operation.kind == "attention":
        return tuple(trace.operations[index] for index in operation.inputs[:2])
    if operation.kind != "softmax" or not _weighs_values(graph, operation):
        return None
    product = _product(trace, operation)
    return tuple(live_inputs(trace, product)[:2]) if product is not None else None


def _product(trace: Trace, operation: Operation, sums: int = 0) -> Operation | None:
    """The product that the scores are, behind scales, views and sums with what is none: a mask from the batch."""
    sources, found = live_inputs(trace, operation), list[Operation]()
    if len(sources) > 1 and (operation.kind != "add" or sums >= _SUMS):
        return None
    for source in sources:
        behind = source if source.kind == "product" else None
        if source.kind in _BETWEEN and not (source.kind == "multiply" and _is_learned(trace, source)):
            behind = _product(trace, source, sums + (len(sources) > 1))
        found += [behind] if behind is not None else []
    return found[0] if len(found) == 1 else None


def _weighs_values(graph: Graph, operation: Operation) -> bool:
    """Whether the weights meet values in a product next, through views and dropout."""
    queue = [operation.index]
    for index in queue:
        for reader in (graph.trace.operations[other] for other in graph.readers[index]):
            if reader.kind == "product":
                return True
            if reader.kind in ("view", "dropout"):
                queue.append(reader.index)
    return False


def _is_learned(trace: Trace, operation: Operation) -> bool:
    """Whether a parameter, or something computed from one, is a factor."""
    return bool(operation.uses) or any(not trace.operations[index].from_input for index in operation.inputs)


def _finding(operation: Operation, where: tuple[str, ...], sigma: float, keys: float, limit: float) -> Finding:
    return Finding(
        code="SZ307",
        name="sharp-attention",
        severity="warning",
        where=where,
        message=(
            f"attention logits have standard deviation {sigma:.3g} over {keys:.0f} keys, the limit is "
            f"sqrt(ln T) = {limit:.3g}, and at {limit * math.sqrt(2):.3g} a few keys hold all the mass"
        ),
        value=sigma,
        limit=limit,
        unit="standard deviation of the logits",
        evidence="value",
        cause="wrong-gain",
        fix=Fix(
            "divide the scores by the root of the head width, or redraw query and key smaller",
            parameter=where[0],
            scheme="law",
            is_safe=True,
        ),
        citation="Vaswani et al. 2017",
        operation=operation.index,
    )
