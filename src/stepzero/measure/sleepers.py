"""Reading what the wake-up probe found: which parameters sleep, what they wait for, and why."""

import re
from collections.abc import Collection, Iterator

from stepzero.core.graph import Graph
from stepzero.core.trace import Operation, Trace
from stepzero.core.wake import DeadProduct, ParameterWake
from stepzero.measure.uses import live_inputs, readings, weight_use

_CHOOSES = frozenset(["getitem", "gather", "index_select", "take_along_dim", "index_add", "index_put", "scatter_add"])
_CONSTANT = 1e-12
"""Share of a signal's second moment that varies over the batch when only rounding does."""


def stuck(trace: Trace) -> dict[str, tuple[str, ...]]:
    """Stuck parameters outside dead products, by the zero whose redraw wakes them ('' when none does)."""
    taken = {name for product in trace.wake.products for name in (*product.factors, *product.silenced)}
    blocked = dict(trace.wake.blockers)
    groups: dict[str, list[str]] = {}
    for each in trace.wake.parameters:
        if each.cause == "value" and each.stuck and each.parameter not in taken and _is_judged(trace, each):
            groups.setdefault(blocked.get(each.parameter, ""), []).append(each.parameter)
    return {blocker: tuple(names) for blocker, names in groups.items()}


def lost(trace: Trace) -> list[ParameterWake]:
    """Weights of which a part learns and a part, zero all through, never does: units that are lost for good.

    Not the last layer of what is added to something else: there a zero row switches nothing off.
    """
    weights = {
        use.parameter
        for each in trace.operations
        for use in each.uses
        if use.slot == "weight" and each.consumer != "residual"
    }
    large = {fact.name for fact in trace.parameters if len(fact.shape) > 1}
    taken = {name for product in trace.wake.products for name in product.factors}
    return [
        each
        for each in trace.wake.parameters
        if each.parameter in weights & large - taken and 0 < each.zero_stuck < each.slices and each.cause == "value"
    ]


def products_alike(trace: Trace) -> list[list[DeadProduct]]:
    """Dead products whose factors play the same roles, together: one fault in many blocks is said once."""
    groups: dict[frozenset[str], list[DeadProduct]] = {}
    for product in trace.wake.products:
        groups.setdefault(frozenset(_role(name) for name in product.factors), []).append(product)
    return list(groups.values())


def _is_judged(trace: Trace, each: ParameterWake) -> bool:
    """Not a looked-up table, not partly alive, not a sibling of modules that this batch did reach."""
    is_table = any(use.slot == "table" for _, use in readings(trace).get(each.parameter, []))
    return not is_table and each.stuck == each.slices and not _has_live_sibling(trace, each)


def _has_live_sibling(trace: Trace, each: ParameterWake) -> bool:
    """Whether a parameter of the same role elsewhere learns: then the batch, not the start, passed this one over.

    Roles are names with the numbers taken out: ``experts.3.up.weight`` and ``experts.0.up.weight`` play one.
    """
    if _own_zero(trace, each.parameter) or not _is_passed_over(trace, each.parameter):
        return False
    asleep = {other.parameter for other in trace.wake.parameters}
    role = _role(each.parameter)
    return any(
        fact.name != each.parameter and fact.name not in asleep and fact.requires_grad and _role(fact.name) == role
        for fact in trace.parameters
    )


def _own_zero(trace: Trace, name: str) -> bool:
    return next((fact.is_zero for fact in trace.parameters if fact.name == name), False)


def _role(name: str) -> str:
    return re.sub(r"\d+", "#", name)


def _is_passed_over(trace: Trace, name: str) -> bool:
    """Whether only what an index chooses of the parameter's result counts, or no row of data reached it at all."""
    graph = Graph(trace)
    own = [operation for operation, _ in readings(trace).get(name, [])]
    behind = (trace.operations[index] for index in graph.downstream({operation.index for operation in own}))
    ahead = (trace.operations[source] for operation in own for source in operation.inputs)
    return any(0 in operation.shape for operation in own) or any(
        operation.name in _CHOOSES for operation in (*ahead, *behind)
    )


def asleep_for_ever(trace: Trace) -> set[str]:
    """Parameters of dead products, and those stuck for their value."""
    factors = {name for product in trace.wake.products for name in (*product.factors, *product.silenced)}
    partly = {each.parameter for each in trace.wake.parameters if each.stuck < each.slices / 2}
    return factors | {
        name
        for blocker, names in stuck(trace).items()
        for name in (*names, *([blocker] if blocker else []))
        if name not in partly  # a few rows behind units that are off for this batch say nothing about the rest
    }


def cause(trace: Trace, blocker: str) -> str:
    """Cause word: a gain or layer of zeros on the only path, or a kink at zero."""
    slots = {use.slot for _, use in readings(trace).get(blocker, [])}
    return "kink-at-zero" if "weight" in slots else "zero-on-main-path"


def cut(trace: Trace) -> Iterator[tuple[tuple[str, ...], str]]:
    """Parameters that act without a derivative, by module, with the last place a derivative was seen."""
    groups: dict[str, list[str]] = {}
    for each in trace.wake.parameters:
        if each.cause == "cut" and (not each.has_gradient or each.stuck == each.slices):
            groups.setdefault(each.parameter.rpartition(".")[0], []).append(each.parameter)
    for names in groups.values():
        read = [operation for operation, _ in readings(trace).get(names[0], [])]
        yield tuple(names), _place(read[-1]) if read else ""


def _place(operation: Operation) -> str:
    return f"{operation.name} of {operation.module or 'the model itself'}"


def redundant(trace: Trace) -> tuple[str, ...]:
    """Parameters that are used and change nothing."""
    return tuple(
        each.parameter
        for each in trace.wake.parameters
        if each.cause == "algebra" and each.stuck == each.slices and not _is_idle(trace, each.parameter)
    )


def behind_zero(trace: Trace, names: Collection[str]) -> tuple[str, ...]:
    """Those of ``names`` that are only read by what a product with a fixed zero takes in, with a weight among them."""
    graph, matrices = Graph(trace), {fact.name for fact in trace.parameters if len(fact.shape) > 1}
    taken = graph.upstream({source.index for each in trace.operations for source in _times_zero(trace, each)})
    found = tuple(
        name
        for name, uses in readings(trace).items()
        if name in names and uses and all(operation.index in taken for operation, _ in uses)
    )
    return found if matrices.intersection(found) else ()


def _times_zero(trace: Trace, operation: Operation) -> list[Operation]:
    """What ``operation`` multiplies by a zero that is neither trained nor made from the batch; empty if it does not."""
    if operation.kind != "multiply" or operation.uses or operation.in_loss or operation.forward is None:
        return []
    sources = live_inputs(trace, operation)
    is_lost = operation.forward.rms == 0.0 and len(sources) == 1 == len(operation.inputs)
    return [each for each in sources if is_lost and each.forward is not None and each.forward.rms > 0.0]


def _is_idle(trace: Trace, name: str) -> bool:
    """Whether no operation of this pass read it: nothing is said about what was not run."""
    return not readings(trace).get(name)


def live_zeros(trace: Trace) -> list[str]:
    """Zero weights and gates that do have a gradient: what sleepers wait for."""
    return _zeros_outside(trace, {each.parameter for each in trace.wake.parameters})


def waking_zeros(trace: Trace) -> list[str]:
    """Zero weights and gates that have a gradient, or were seen to get one."""
    silent = {fact.name for fact in trace.parameters if fact.gradient is None or fact.gradient.norm == 0.0}
    woken = {each.parameter for each in trace.wake.parameters if each.stuck < each.slices}
    return _zeros_outside(trace, silent - woken)


def _zeros_outside(trace: Trace, asleep: set[str]) -> list[str]:
    added = {use.parameter for operation in trace.operations for use in operation.uses if use.slot in ("bias", "shift")}
    return [
        fact.name
        for fact in trace.parameters
        if fact.is_zero and fact.requires_grad and fact.name not in asleep and fact.name not in added
    ]


def slow_weights(trace: Trace) -> dict[str, int]:
    """Weights two or more steps away behind zero layers in a row, on a path that carries nothing of the input.

    Where nobody said which optimizer will train, one step is enough: plain gradient descent may take long to leave the
    start, whatever its rate. Some units may never wake: behind a ReLU those with a bias of 0 or less.
    """
    zero = {fact.name for fact in trace.parameters if fact.is_zero}
    if not any(_reads_a_constant(trace, operation) for operation in _readers_of(trace, zero)):
        return {}
    least = 2 if trace.optimizer.name else 1
    return {
        each.parameter: each.delay
        for each in trace.wake.parameters
        if each.stuck < each.slices and each.delay >= least and each.parameter in zero
    }


def _readers_of(trace: Trace, names: set[str]) -> Iterator[Operation]:
    for operation in trace.weighted():
        use = weight_use(operation)
        if use is not None and use.parameter in names:
            yield operation


def _reads_a_constant(trace: Trace, operation: Operation) -> bool:
    """Whether what arrives does not differ between samples, though it is not zero."""
    for source in live_inputs(trace, operation):
        while source.forward is None and len(above := live_inputs(trace, source)) == 1:
            source = above[0]  # noqa: PLW2901 - walks back through views
        if source.name != "input" and source.forward is not None and source.forward.batch_share is not None:
            return source.forward.rms > 0 and source.forward.batch_share <= _CONSTANT
    return False


def over_steps(trace: Trace) -> str:
    """' and in 3 virtual steps'; empty when none had to be taken."""
    return f" and in {trace.wake.steps} virtual steps" if trace.wake.steps else ""


def measured_touch(trace: Trace, name: str) -> str:
    """Words for what the user's own optimizer did on a copy; empty when it was not given."""
    if not trace.wake.optimizer:
        return ""
    each = next((each for each in trace.wake.parameters if each.parameter == name), None)
    if each is None or each.touch_step is None:
        return f"; {trace.wake.optimizer} itself has not reached it after as many steps"
    return f"; {trace.wake.optimizer} itself reached it at step {each.touch_step} with {each.touch_size:.2g}"
