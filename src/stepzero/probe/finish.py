"""From mutable records and fetched numbers to the frozen Trace."""

import functools
import math
from collections.abc import Iterator
from dataclasses import replace

import torch
from torch import Tensor

from stepzero.core.trace import (
    COMPLEX,
    Attribute,
    InputFact,
    LossFact,
    ModuleFact,
    Operation,
    TensorFact,
    Trace,
)
from stepzero.measure.gain import gain_of
from stepzero.measure.linearity import with_unexplained
from stepzero.measure.sampling import plan_of, rows_of, wide
from stepzero.probe import facts, reach, roles, tokens, tree, units
from stepzero.probe.gradients import gradient_facts
from stepzero.probe.nodes import Record
from stepzero.probe.run import Run
from stepzero.probe.subject import Subject
from stepzero.probe.tables import Tables
from stepzero.probe.transfer import Ledger, vector

Tickets = dict[int, dict[str, int]]
_COMPARED = 1 << 21
"""Numbers of a batch up to which its samples are told apart."""


def put_scalars(records: list[Record], ledger: Ledger) -> Tickets:
    """Hand the device scalars and slope shares of every record to the ledger; scalars come back keyed by operation."""
    for record in records:
        if record.forward is not None and record.forward.flatness is not None:
            flat, off = record.forward.flatness
            record.forward.flat_tickets, record.forward.flatness = (ledger.put(flat), ledger.put(off)), None
    return {
        record.index: {key: ledger.put(value) for key, value in record.scalars.items()}
        for record in records
        if record.scalars
    }


def trace(
    subject: Subject,
    run: Run,
    static: facts.Facts,
    ledger: Ledger,
    tickets: Tickets,
    inputs: tuple[InputFact, ...],
    *,
    reads_values: bool = True,
) -> Trace:
    """Freeze one observed pass; without ``reads_values`` nothing is told of what parameters and the batch hold."""
    records = run.recorder.records
    roles.assign(records, run.outputs, run.loss_index)
    tables = Tables(ledger)
    operations = tuple(_operation(record, ledger, tables, tickets.get(record.index)) for record in records)
    parameters, buffers = _split(subject, static.finish(run.recorder.used, gradient_facts(ledger, run.gradients)))
    if reads_values:
        parameters = _with_repeated_rows(subject, parameters, operations, run.small)
        parameters = _with_options(subject, _with_equal_rows(subject, parameters, operations))
    told = Trace(
        model=subject.name,
        operations=operations,
        parameters=parameters,
        buffers=buffers,
        modules=_modules(subject, run.recorder.calls),
        inputs=inputs,
        outputs=tuple(run.outputs),
        comments=subject.comments,
        lost_writes=subject.lost_writes,
        writes=subject.writes,
        loss=_loss(run, operations),
        batch_size=batch_size(subject),
        distinct_samples=distinct_samples(subject) if reads_values else None,
        has_forward=True,
        has_backward=run.has_backward,
        conditions=(*run.conditions, *subject.notes),
        skipped=(*sorted(run.recorder.unmeasured.items()), *_complex(parameters)),
        seed=subject.seed,
        torch=str(torch.__version__),
    )
    return with_unexplained(told) if reads_values else told


def _complex(parameters: tuple[TensorFact, ...]) -> Iterator[tuple[str, str]]:
    """Weights whose units no fingerprint tells apart, because it would have to be complex."""
    return ((fact.name, COMPLEX) for fact in parameters if fact.dtype.startswith("complex") and fact.numel > 1)


def _with_repeated_rows(
    subject: Subject, facts_: tuple[TensorFact, ...], operations: tuple[Operation, ...], gradients: dict[str, Tensor]
) -> tuple[TensorFact, ...]:
    """Count equal rows of tables that are no weights: learned tokens, few and small; not those that gradients part."""
    weights = tokens.weight_names(operations) | tokens.score_names(operations)
    named = {fact.name for fact in facts_ if len(fact.shape) > 1 and fact.is_used and fact.name not in weights}
    live = dict(subject.model.named_parameters()) if named else {}
    repeated = {name: tokens.num_repeated(live[name], gradients.get(name)) for name in named if name in live}
    return tuple(
        replace(fact, repeated_rows=repeated[fact.name]) if repeated.get(fact.name) else fact for fact in facts_
    )


def _with_equal_rows(
    subject: Subject, facts_: tuple[TensorFact, ...], operations: tuple[Operation, ...]
) -> tuple[TensorFact, ...]:
    """Name equal rows of tables that an index is looked up in; constant ones are another story."""
    names = tokens.table_names(operations)
    live = dict(subject.model.named_parameters()) if names else {}
    equal = {
        fact.name: tokens.equal_table_rows(live[fact.name])
        for fact in facts_
        if fact.name in names and fact.name in live and fact.state == "ready" and not fact.is_constant
    }
    return tuple(
        replace(fact, equal_rows=rows[: tokens.TOLD], num_equal_rows=len(rows))
        if (rows := equal.get(fact.name))
        else fact
        for fact in facts_
    )


def _with_options(subject: Subject, facts_: tuple[TensorFact, ...]) -> tuple[TensorFact, ...]:
    """Tell what this pass left alone and another call would read."""
    trainable = [fact for fact in facts_ if fact.requires_grad]
    unread = [fact.name for fact in trainable if not fact.is_used]
    named = reach.optional(subject.model, unread, [fact.name for fact in trainable])
    return tuple(replace(fact, is_optional=True) if fact.name in named else fact for fact in facts_)


def static_trace(subject: Subject, tensors: list[TensorFact], reason: str) -> Trace:
    """A Trace of the weights alone, when the model cannot run."""
    parameters, buffers = _split(subject, tensors)
    return Trace(
        model=subject.name,
        parameters=parameters,
        buffers=buffers,
        modules=_modules(subject, {}),
        conditions=(reason,),
        seed=subject.seed,
        torch=str(torch.__version__),
    )


def batch_size(subject: Subject) -> int | None:
    """Length of the first axis that the batch's tensors agree on; None when they do not."""
    sizes = {tensor.shape[0] for _, tensor in subject.named_inputs() if tensor.dim() > 0}
    return sizes.pop() if len(sizes) == 1 else None


def distinct_samples(subject: Subject) -> int | None:
    """How many samples of the batch differ in any of its tensors; None without a batch axis, or where it is large.

    Each sample becomes one number a tensor, its product with fixed random numbers: equal ones are equal bit for bit.
    """
    tensors = [tensor.detach() for _, tensor in subject.named_inputs() if tensor.dim()]
    size = sum(tensor.numel() for tensor in tensors)
    if batch_size(subject) is None or size > _COMPARED or any(each.layout != torch.strided for each in tensors):
        return None
    keys = []
    for tensor in tensors:
        flat = (torch.view_as_real(tensor) if tensor.is_complex() else tensor).reshape(len(tensor), -1).cpu().double()
        keys.append(_keys(flat))
    return len(set(zip(*keys, strict=True)))


def _keys(rows: Tensor) -> list[float]:
    """A number for each row of a float64 matrix, the same bits for rows that are the same, but for those with NaN.

    Summed row by row: a matrix product adds the rows of one tile in another order than those left over.
    """
    numbers: list[float] = (rows * _random_numbers(rows.shape[1]).to(rows.device, rows.dtype)).sum(1).tolist()
    return numbers


@functools.lru_cache(maxsize=8)
def _random_numbers(count: int) -> Tensor:
    return torch.rand(count, generator=torch.Generator().manual_seed(count), dtype=torch.float32).double()


def input_facts(subject: Subject) -> tuple[InputFact, ...]:
    """What the batch looks like; read from the (restored) batch with exact ranges and sampled channels."""
    return tuple(_input_fact(name, tensor, is_stand_in=subject.is_stand_in) for name, tensor in subject.named_inputs())


def _input_fact(name: str, tensor: Tensor, *, is_stand_in: bool) -> InputFact:
    shape, is_float = tuple(tensor.shape), tensor.is_floating_point()
    fact = InputFact(name, shape, str(tensor.dtype)[6:], is_float, is_stand_in)
    axis = units.of_input(shape)
    plan = plan_of(shape, axis) if axis is not None and is_float and tensor.layout == torch.strided else None
    if plan is None:
        return fact
    sample = rows_of(tensor, plan).to(wide(tensor))
    low, high = (float(value) for value in torch.aminmax(tensor.detach()))
    distinct = len(set(_keys(sample.view(plan.samples, -1)))) if plan.samples * sample.numel() < 1 << 22 else None
    std, mean = torch.std_mean(sample, 0, correction=0)
    return replace(
        fact,
        low=low,
        high=high,
        num_nonfinite=0 if math.isfinite(low) and math.isfinite(high) else int((~torch.isfinite(tensor)).sum()),
        num_distinct_samples=distinct,
        channel_axis=axis,
        channel_mean=vector(mean.cpu().double().contiguous()),
        channel_std=vector(std.cpu().double().contiguous()),
        integer_like=bool((sample == sample.round()).all()),
    )


def _split(subject: Subject, tensors: list[TensorFact]) -> tuple[tuple[TensorFact, ...], tuple[TensorFact, ...]]:
    """Parameters, with the lines that assigned them, and buffers."""
    lines = subject.source_lines
    parameters = (fact for fact in tensors if fact.kind == "parameter")
    placed = (replace(fact, source_line=lines[fact.name]) if fact.name in lines else fact for fact in parameters)
    return tuple(placed), tuple(fact for fact in tensors if fact.kind == "buffer")


def _modules(subject: Subject, calls: dict[str, int]) -> tuple[ModuleFact, ...]:
    return tuple(
        ModuleFact(path, type(module).__name__, module.training, subject.source_lines.get(path), calls.get(path, 0))
        for path, module in tree.modules(subject.model)
    )


def _operation(record: Record, ledger: Ledger, tables: Tables, tickets: dict[str, int] | None) -> Operation:
    attributes: dict[str, Attribute] = dict(record.attributes)
    attributes.update({key: ledger.number(ticket) for key, ticket in (tickets or {}).items()})
    return Operation(
        index=record.index,
        name=record.name,
        kind=record.kind,
        module=record.module,
        call=record.call,
        shape=record.shape,
        dtype=record.dtype,
        inputs=tuple(record.inputs),
        uses=record.uses,
        unit_axis=record.unit_axis,
        from_input=record.from_input,
        in_loss=record.in_loss,
        is_inplace=record.is_inplace,
        attributes=attributes,
        forward=tables.signal(record.forward) if record.forward else None,
        backward=tables.signal(record.backward) if record.backward else None,
        role=record.role,
        consumer=record.consumer,
        consumer_index=record.consumer_index,
        gain=gain_of(record.name, record.attributes) if record.kind == "activation" else None,
    )


def _loss(run: Run, operations: tuple[Operation, ...]) -> LossFact:
    """Add what the loss operation itself knows: classes, spread of the logits, the best constant guess."""
    fact = replace(run.loss, operation=run.loss_index)
    last = next((op for op in reversed(operations) if op.kind == "loss" and "num_classes" in op.attributes), None)
    if last is None:
        return fact
    classes, spread = last.attributes["num_classes"], last.attributes.get("logit_std")
    num_classes = int(classes) if isinstance(classes, int) else None
    is_plain = last.name in ("cross_entropy", "nll_loss") and num_classes is not None and num_classes > 1
    return replace(
        fact,
        num_classes=num_classes,
        logit_std=float(spread) if isinstance(spread, float) else None,
        reference=math.log(num_classes) if is_plain and num_classes else None,
    )
