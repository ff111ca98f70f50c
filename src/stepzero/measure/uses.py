"""Which operations read a parameter, and which parameters stand behind an operation."""

from stepzero.core.trace import Operation, ParameterUse, Trace

WEIGHTS = ("weight", "table", "recurrent", "operand")
"""Slots in which a parameter carries directions, not a scale or an offset; the most telling first."""
LOOKUPS = ("embedding", "embedding_bag", "getitem", "gather", "index_select", "take_along_dim")
"""Operations that read what an index chooses and nothing else."""
_ADDING = frozenset(["add", "view", "join", "pool", "dropout", "attention"])
"""Operations that hand a table on or add it; fused attention adds what it is given as a mask."""
_STEPS = 8
"""How far `feeding` looks back: a norm, a bias, dropout and a few views lie between a weight and its activation."""


def weight_use(operation: Operation) -> ParameterUse | None:
    """The use of the operation's main weight, if it has a parameter as weight."""
    candidates = [use for use in operation.uses if use.slot in WEIGHTS]
    return min(candidates, key=lambda use: WEIGHTS.index(use.slot)) if candidates else None


def units(operation: Operation) -> int:
    """How many units the result has: channels of a convolution, features of a linear layer."""
    return operation.shape[operation.unit_axis] if operation.unit_axis is not None else 1


def readings(trace: Trace) -> dict[str, list[tuple[Operation, ParameterUse]]]:
    """Every reading of every parameter, by the parameter's name, in execution order."""
    found: dict[str, list[tuple[Operation, ParameterUse]]] = {fact.name: [] for fact in trace.parameters}
    for operation in trace.operations:
        for use in operation.uses:
            found.setdefault(use.parameter, []).append((operation, use))
    return found


def added(trace: Trace) -> frozenset[str]:
    """Tables that only ever enter by addition, as the biases of relative positions do: no zero in them is a factor."""
    tables = {fact.name for fact in trace.parameters if len(fact.shape) > 1}
    multiplied = {
        use.parameter for operation in trace.operations if operation.kind not in _ADDING for use in operation.uses
    }
    read = {use.parameter for operation in trace.operations for use in operation.uses}
    return frozenset((tables & read) - multiplied)


def live_inputs(trace: Trace, operation: Operation) -> list[Operation]:
    """Producers that the batch reaches."""
    return [trace.operations[index] for index in operation.inputs if trace.operations[index].from_input]


def feeding(trace: Trace, operation: Operation) -> tuple[str, ...]:
    """Parameters from the weighted operation that ``operation`` follows down to it, in that order.

    At a sum the later branch is followed: in ``relu(x + branch(x))`` that is the branch.
    """
    found: list[str] = []
    for _ in range(_STEPS):
        found = [use.parameter for use in operation.uses] + found
        sources = live_inputs(trace, operation)
        if (operation.kind == "weighted" and operation.uses) or not sources:
            break
        operation = sources[-1] if len(sources) == 1 else max(sources, key=lambda source: source.index)
    return tuple(dict.fromkeys(found))


def before(trace: Trace, operation: Operation) -> Operation | None:
    """The nearest measured operation that ``operation`` reads, through views; None at a sum, product or source."""
    while len(sources := live_inputs(trace, operation)) == 1:
        operation = sources[0]
        if operation.forward is not None:
            return operation
        if operation.kind not in ("view", "dropout"):
            return None
    return None


def place_of(trace: Trace, operation: Operation) -> tuple[str, ...]:
    """Where a finding about ``operation`` sits: the parameters behind it, else its module ('' is the whole model)."""
    return feeding(trace, operation) or (operation.module,)
