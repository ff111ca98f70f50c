"""What part each operation plays: residual add, gate, norm written out by hand, bias, scale, head, consumer activation.

Found in the dataflow graph, never by name of a module. Operations are in topological order, so a search back from
one operation need not go below the other operation's index: the work is bounded by the branch between the two.
"""

from collections.abc import Iterable

from stepzero.probe.nodes import Record

_DIVISORS = frozenset("rsqrt sqrt norm vector_norm linalg_vector_norm linalg_norm std var reciprocal pow".split())
_PLAIN = frozenset(["weighted", "product", "norm", "pool", "view", "dropout", "join"])
_NEARBY = 100
"""Operations between a result and an elementwise function of it."""
_ELEMENTWISE = frozenset(["activation", "add", "multiply", "dropout"])
_ARITHMETIC = frozenset("pow square exp log log1p expm1 neg clamp to float type_as".split())
_STREAM = frozenset(["norm", "residual", "projection-residual", "gate"])
_THROUGH = frozenset(["view", "dropout", "join"])
_NEUTRAL = frozenset(["clamp", "clamp_min", "clip", "where", "masked_fill", "to", "nan_to_num", "masked_scatter"])


def assign(records: list[Record], outputs: Iterable[int], loss: int | None) -> None:
    """Fill ``role``, ``consumer`` and ``consumer_index`` of every record in place."""
    readers = _readers(records)
    for record in records:
        if record.from_input:
            record.role = _role(records, record)
    ends = set(outputs)
    for index in _heads(records, ends, loss):
        records[index].role = records[index].role or "head"
    gated = {
        root: record.index
        for record in records
        if record.role == "self-gate" and (root := _common_root(records, _live(records, record))) is not None
    }
    for record in records:
        if record.kind == "weighted" and record.from_input:
            record.consumer, record.consumer_index = _consumer(records, readers, record.index, ends, gated)


def _readers(records: list[Record]) -> list[list[int]]:
    readers: list[list[int]] = [[] for _ in records]
    for record in records:
        for source in record.inputs:
            readers[source].append(record.index)
    return readers


def _live(records: list[Record], record: Record) -> list[int]:
    return [index for index in record.inputs if records[index].from_input]


def _role(records: list[Record], record: Record) -> str:
    live = _live(records, record)
    if record.kind == "add":
        return _role_of_add(records, record, live)
    if record.kind == "multiply":
        if len(live) >= 2:
            if _divides_itself(records, live):
                return "norm"
            return "self-gate" if _gates_itself(records, live) else "gate"
        return "scale"
    if record.kind == "norm":
        return "norm"
    return ""


def _role_of_add(records: list[Record], record: Record, live: list[int]) -> str:
    if len(live) < 2:
        return "bias" if record.uses else ""
    early, late = min(live[:2]), max(live[:2])
    if record.name in ("sub", "rsub") and _is_mean_of(records, late, early):
        return "norm"
    if _gates_itself(records, live):
        return "arithmetic"
    if is_ancestor(records, early, late):
        return "residual"
    return "projection-residual" if _is_projected(records, early, late) else ""


def is_ancestor(records: list[Record], early: int, late: int) -> bool:
    """Whether ``late`` is computed from ``early``."""
    seen, stack = {late}, [late]
    while stack:
        for source in records[stack.pop()].inputs:
            if source == early:
                return True
            if source > early and source not in seen:
                seen.add(source)
                stack.append(source)
    return False


def _is_projected(records: list[Record], a: int, b: int) -> bool:
    """A shortcut with a projection: one side is a chain of linear maps from a point that the other side reads too."""
    for side, other in ((a, b), (b, a)):
        chain = _plain_chain(records, side)
        if any(step < other and is_ancestor(records, step, other) for step in chain[1:]):
            return True
    return False


def _plain_chain(records: list[Record], index: int) -> list[int]:
    """``index`` and what it comes from through linear operations, at most six weighted or norm steps back."""
    chain, budget = [index], 6
    while records[index].kind in _PLAIN and budget:
        live = _live(records, records[index])
        if len(live) != 1:
            break
        index = live[0]
        chain.append(index)
        budget -= records[index].kind != "view"
    return chain


def _divides_itself(records: list[Record], live: list[int]) -> bool:
    """``x * rsqrt(mean(x^2))`` and its relatives: one factor is a root or norm computed from the other's source."""
    for divisor, other in ((live[1], live[0]), (live[0], live[1])):
        index = divisor
        while records[index].kind in ("view", "add", "multiply") or records[index].name in _NEUTRAL:
            sources = _live(records, records[index])
            if len(sources) != 1:
                break
            index = sources[0]
        if records[index].name in _DIVISORS and _shares_source(records, index, other):
            return True
    return False


def _gates_itself(records: list[Record], live: list[int]) -> bool:
    """``x * sigmoid(x)`` and its relatives: both factors are elementwise functions of one and the same result."""
    return _common_root(records, live) is not None


def _common_root(records: list[Record], live: list[int]) -> int | None:
    """The latest result that the first two of ``live`` are both elementwise functions of, and of nothing else."""
    first, second = (_reached(records, index) for index in live[:2])
    shared = sorted(first & second, reverse=True)
    return next((root for root in shared if all(_is_function_of(records, index, root) for index in live[:2])), None)


def _reached(records: list[Record], index: int, root: int = -1) -> set[int]:
    """``index`` and everything above it through elementwise operations, up to ``root``; the ends are included.

    No further than `_NEARBY` operations: an activation is written in one place, and a residual stream has no end.
    """
    seen, stack = {index}, [index]
    while stack:
        at = stack.pop()
        if at != root and index - at <= _NEARBY and _is_elementwise(records[at]):
            sources = set(_live(records, records[at])) - seen
            seen |= sources
            stack += sources
    return seen


def _is_function_of(records: list[Record], index: int, root: int) -> bool:
    """Whether ``index`` is an elementwise function of ``root`` and nothing else that is live."""
    return all(at == root or _is_elementwise(records[at]) for at in _reached(records, index, root))


def _is_elementwise(record: Record) -> bool:
    return record.kind in _ELEMENTWISE or record.name in _ARITHMETIC


def _shares_source(records: list[Record], root: int, other: int) -> bool:
    """Whether ``root`` is computed from ``other`` or from what ``other`` is a plain view or shift of."""
    other = _uncentred(records, other)
    if root > other and is_ancestor(records, other, root):
        return True
    chain = _plain_chain(records, other)
    return any(step < root and is_ancestor(records, step, root) for step in chain[1:3])


def _is_mean_of(records: list[Record], index: int, source: int) -> bool:
    """Whether ``index`` is the mean of ``source``, perhaps reshaped."""
    while records[index].kind == "view" and index > source:
        live = _live(records, records[index])
        if len(live) != 1:
            return False
        index = live[0]
    return records[index].name == "mean" and source in records[index].inputs


def _uncentred(records: list[Record], index: int) -> int:
    """What ``x - mean(x)`` was computed from, looking through views and constant factors; else ``index`` itself."""
    at = index
    while records[at].kind == "view" or records[at].role == "scale":
        live = _live(records, records[at])
        if len(live) != 1:
            return index
        at = live[0]
    is_centred = records[at].kind == "add" and records[at].role == "norm"
    return min(_live(records, records[at])) if is_centred else index


def _heads(records: list[Record], outputs: set[int], loss: int | None) -> set[int]:
    """The last weighted operations before the loss, or before the outputs when there is no loss."""
    losses = [record.index for record in records if record.kind == "loss"]
    starts = losses or ([loss] if loss is not None else sorted(outputs))
    heads: set[int] = set()
    seen, stack = set(starts), list(starts)
    while stack:
        record = records[stack.pop()]
        if record.kind == "weighted" and record.from_input:
            heads.add(record.index)
            continue
        if record.role in _STREAM or record.kind == "attention" or not record.is_float:
            continue  # behind a norm, a residual stream or a gate there is no single head
        for source in record.inputs:
            if source not in seen:
                seen.add(source)
                stack.append(source)
    return heads


def _consumer(
    records: list[Record], readers: list[list[int]], start: int, outputs: set[int], gated: dict[int, int]
) -> tuple[str, int | None]:
    """Name of what reads the result first, looking through views, dropout, biases and constant factors.

    ``gated`` maps a result to the product in which it gates itself.
    """
    seen, stack = {start}, [start]
    while stack:
        index = stack.pop(0)
        if index in gated:
            return "self-gate", gated[index]
        if index in outputs and index != start and not readers[index]:
            return "output", index
        for reader in readers[index]:
            if reader in seen or not records[reader].is_float:
                continue
            seen.add(reader)
            if _is_statistic(records, readers, reader):
                return "norm", readers[reader][0]
            if name := _consumer_name(records[reader]):
                return name, reader
            stack.append(reader)
    return "output", None


def _is_statistic(records: list[Record], readers: list[list[int]], index: int) -> bool:
    """Whether a mean exists only to be taken off what it is the mean of."""
    live = [(records[reader], _live(records, records[reader])) for reader in readers[index]]
    return (
        records[index].kind == "pool"
        and bool(live)
        and all(record.role == "norm" and len(sources) > 1 for record, sources in live)
    )


def _consumer_name(record: Record) -> str:
    if record.in_loss or record.kind == "loss":
        return "loss"
    if record.kind in _THROUGH or record.name in _NEUTRAL or record.role in ("bias", "scale", "arithmetic"):
        return ""
    if record.kind == "activation":
        return record.name
    if record.role == "self-gate":
        return "self-gate"
    if record.name in _ARITHMETIC:
        return ""
    if record.role in ("residual", "projection-residual"):
        return "residual"
    if record.role in ("norm", "gate"):
        return record.role
    return record.kind if record.kind not in ("other", "add", "multiply") else record.name
