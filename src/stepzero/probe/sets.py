"""Learned sets of tokens (queries, slots, prompts, registers): rows that nothing tells apart.

The rows of such a table are not units of a weighted operation: they are data of the model's own. Two equal rows that
get equal gradients, and still do after virtual steps, are one token: what reads them is blind to their order.
Shapes: R rows, N numbers a row.
"""

from collections.abc import Callable, Iterator

from torch import Tensor

from stepzero.core.symmetry import Member, UnitBlock
from stepzero.core.trace import Trace
from stepzero.measure.redundancy import equal_groups
from stepzero.probe import steps
from stepzero.probe.replica import Gradients, Replica
from stepzero.probe.tokens import equal_rows, rows_of, weight_names


def token_blocks(replica: Replica, trace: Trace, tolerance: float) -> Iterator[UnitBlock]:
    """Groups of equal rows that two kinds of virtual steps keep equal."""
    weights = weight_names(trace.operations)
    tables = {
        name: groups for name, each in replica.trainable.items() if name not in weights and (groups := equal_rows(each))
    }
    if not tables:
        return
    start = _gradients(replica)
    tables = {name: _equal_gradients(groups, start.get(name), tolerance) for name, groups in tables.items()}
    for step in (steps.plain, steps.elementwise):
        if not any(tables.values()):
            return
        tables = {name: groups for name, groups in _kept(replica, tables, step, start, tolerance).items() if groups}
    for name, groups in tables.items():
        yield from (UnitBlock("twins", (Member(name, tuple(group)),), 0.0, confirmed="elementwise") for group in groups)


def _gradients(replica: Replica) -> Gradients:
    first, _ = replica.run(0)
    second, _ = replica.run(1)
    return steps.summed(first, second)


def _equal_gradients(groups: list[list[int]], gradient: Tensor | None, tolerance: float) -> list[list[int]]:
    """The parts of each group whose gradients are equal, and not zero."""
    if gradient is None:
        return []
    rows = rows_of(gradient)
    found = []
    for group in groups:
        live = [row for row in group if bool(rows[row].any())]
        found += [[live[place] for place in same] for same in equal_groups(rows[live], tolerance)] if live else []
    return found


def _kept(
    replica: Replica,
    tables: dict[str, list[list[int]]],
    step: Callable[[Replica, Gradients], None],
    start: Gradients,
    tolerance: float,
) -> dict[str, list[list[int]]]:
    """Groups whose rows are still equal two steps later."""
    replica.reset()
    gradients = start
    for number in (1, 2):
        step(replica, gradients)
        gradients = _gradients(replica) if number == 1 else gradients
    kept = {
        name: [group for group in groups if len(equal_groups(rows_of(replica.parameters[name])[group], tolerance)) == 1]
        for name, groups in tables.items()
    }
    replica.reset()
    return kept
