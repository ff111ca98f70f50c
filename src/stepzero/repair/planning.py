"""From a Trace to a Plan: the law of every parameter, told from the operations that read it, never from its shape.

Legend: L residual additions on one stream, n true fan-in, g gain of the activation that feeds a layer.
"""

import fnmatch
import math
from collections.abc import Iterable
from dataclasses import dataclass

from stepzero.core.graph import Graph
from stepzero.core.outcome import Accepted
from stepzero.core.plan import Entry
from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.scales import constant_factor
from stepzero.measure.uses import live_inputs, readings
from stepzero.probe.vocabulary import RECURRENT
from stepzero.repair import chains, gates
from stepzero.repair.calibrate import Target
from stepzero.repair.chains import Chain
from stepzero.repair.offline import buffer_entry
from stepzero.repair.paths import JOINS, End, branch_ends, unscaled_queries

HEAD_STD = 0.8
"""Logits of this size cost sigma^2 / 2 = 0.3 nats above the best constant guess, where SZ501 speaks up at 0.5. Behind a
signal of mean square q an output moves at a rate n q / 2 by the head and at n sigma^2 / 2 by each hidden layer (squared
gradients of a ReLU network under the law of He et al. 2015): a head that is small beside its signal learns on features
that stand still. At 0.3, which costs 0.05 nats, hidden layers learn at a tenth of the head's rate; ReLU networks of 5
and 10 layers (`benchmarks.starts`, 16 seeds) then end 200 steps with losses 30 and 7 % higher, and diverge as often.
From 0.8 to 1.2 nothing changes by more than the seeds do."""
TIED_STD = 0.3
"""Of the logits that a table makes as the head it is tied to; in front of it stand other layers, which a norm feeds."""
_PASSES = ("view", "dropout", "pool", "join")
_DRAWN = 3.0
"""A bias of this many times the size of a drawn one was written on purpose."""
_HARMLESS = frozenset(["tied weights", "padding row"])
"""Idioms that do not say that the values are meant."""
_STEPS = 8
"""How far to look back along a chain of operations: a bias, dropout and a few views lie in between."""
_LOW_DIMENSIONS = 3
"""Up to this many inputs the kinks of ReLU units with zero biases all lie in one point."""
_KINKED = frozenset(["relu", "leaky_relu", "elu", "selu", "celu"])


@dataclass(frozen=True, slots=True)
class Layout:
    """What the graph says that no single use does."""

    trace: Trace
    read: dict[str, list[tuple[Operation, ParameterUse]]]
    ends: dict[str, End]
    """Parameter at the end of a residual branch: what it joins."""
    queries: dict[str, float]
    """Query weight of an attention that does not divide by the root of its head width: the factor that does."""
    chains: dict[str, Chain]
    """Weight of a plain chain: what that is."""


def layout(trace: Trace) -> Layout:
    """Read the residual structure once."""
    return Layout(trace, readings(trace), branch_ends(trace), unscaled_queries(trace), chains.found(trace))


def entries(found: Layout, accepted: Iterable[Accepted], keep: Iterable[str]) -> tuple[Entry, ...]:
    """One entry for every parameter and buffer, in the order of the Trace."""
    meant = {name: each for each in accepted if each.idiom not in _HARMLESS for name in each.where}
    globs = tuple(keep)
    parameters = tuple(_parameter(found, fact, meant.get(fact.name), globs) for fact in found.trace.parameters)
    return parameters + tuple(buffer_entry(fact.name) for fact in found.trace.buffers)


def targets(found: Layout, planned: Iterable[Entry]) -> dict[str, Target]:
    """Which drawn weights are calibrated on the batch, and to what."""
    wanted: dict[str, Target] = {}
    for entry in planned:
        uses = _readings(found, entry.name, entry.aliases)
        if entry.action != "drawn" or entry.role in ("table", "recurrent") or any(use.is_derived for _, use in uses):
            continue
        if any(operation.name in RECURRENT for operation, _ in uses):
            continue  # its result adds to that of the recurrent weight, inside one operation
        if not uses or any(operation.consumer == "norm" for operation, _ in uses):
            continue  # the norm behind it takes its scale away
        if any(use.slot not in ("weight", "bias") for _, use in uses):
            continue  # tied to an embedding, which decides
        if entry.role == "branch end":
            wanted[entry.name] = Target(share=found.ends[entry.name].share)
        else:
            size = HEAD_STD if entry.role == "head" else _std(found, entry.name, uses[0][0])
            wanted[entry.name] = Target(size * found.queries.get(entry.name, 1.0))
    return wanted


def _std(found: Layout, name: str, operation: Operation) -> float:
    """1, or less in a chain whose gradient would grow along it, or that a head ends which reads a quiet signal."""
    chain, index = found.chains.get(name), operation.consumer_index
    if chain is None or index is None:
        return 1.0
    return chain.std(found.trace.operations[index].name, HEAD_STD)


def _readings(found: Layout, name: str, aliases: Iterable[str]) -> list[tuple[Operation, ParameterUse]]:
    return [each for key in (name, *aliases) for each in found.read.get(key, [])]


def _parameter(found: Layout, fact: TensorFact, meant: Accepted | None, keep: tuple[str, ...]) -> Entry:
    uses = _readings(found, fact.name, fact.aliases)
    if why := _kept(found, fact, meant, keep):
        return Entry(fact.name, "kept", why=why, aliases=fact.aliases)
    if fact.state not in ("ready", "sharded"):
        return Entry(fact.name, "skipped", why=f"it holds no memory ({fact.state})", aliases=fact.aliases)
    if not uses:
        return Entry(fact.name, "skipped", why="no operation of the pass read it", aliases=fact.aliases)
    slots = {use.slot for _, use in uses}
    if any(use.is_derived and use.slot != "table" for _, use in uses):
        why = "another value is computed from it before it is used, and its scale cannot be told from that"
        return Entry(fact.name, "skipped", "operand", why, aliases=fact.aliases)
    for slot, made in (("table", _table), ("recurrent", _recurrent), ("weight", _weight)):
        if slot in slots:
            return made(found, fact, [each for each in uses if each[1].slot == slot])
    if "bias" in slots:
        return _bias(found, fact, uses)
    is_norm = all(operation.kind == "norm" for operation, _ in uses)
    if is_norm and slots <= {"gain", "shift"}:
        return _norm(found, fact, slots.pop())
    why = "a raw parameter in arithmetic: its value may mean something"
    return Entry(fact.name, "kept", "operand", why, aliases=fact.aliases)


def _norm(found: Layout, fact: TensorFact, slot: str) -> Entry:
    value, why = (1.0 if slot == "gain" else 0.0), "a norm starts as the identity"
    if slot == "gain" and (end := found.ends.get(fact.name)):
        value = math.sqrt(end.share)
        why = f"last norm of one of {end.branches} residual branches that share one stream: it carries their factor"
    return Entry(fact.name, "set", slot, why, value=value, aliases=fact.aliases)


def _kept(found: Layout, fact: TensorFact, meant: Accepted | None, keep: tuple[str, ...]) -> str:
    names = (fact.name, *fact.aliases)
    if glob := next((each for each in keep if any(fnmatch.fnmatchcase(name, each) for name in names)), None):
        return f"asked for by keep={glob!r}"
    if not fact.requires_grad:
        return "frozen: it takes no gradient"
    if meant is None or (meant.idiom == "prior bias" and not _is_chosen(found, fact)):
        return ""
    return f"{meant.idiom}: {meant.why}"


def _is_chosen(found: Layout, fact: TensorFact) -> bool:
    """Whether a bias is larger than torch's own draw from U(-1/sqrt n, 1/sqrt n), which now and then helps by luck."""
    uses = [use for operation, _ in _readings(found, fact.name, fact.aliases) for use in operation.uses]
    fan_in = max((use.fan_in or 0.0 for use in uses), default=0.0)
    return fact.rms > _DRAWN * math.sqrt(1 / (3 * max(1.0, fan_in)))


def _weight(found: Layout, fact: TensorFact, uses: list[tuple[Operation, ParameterUse]]) -> Entry:
    operation, use = uses[0]
    gain, fed = _gain(found.trace, operation)
    fan_in = use.fan_in or float(use.shape[-1] or 1)
    recurrent = next((other.fan_in for other in operation.uses if other.slot == "recurrent"), None)
    if recurrent:
        width = gates.reads_table(found.trace, operation, use)
        share = gates.balanced(width, recurrent) * math.sqrt(fan_in) if width else gates.share(fan_in, recurrent)
        gain, fed = gain * share, f"{fed}, and the state adds to it"
    role, why, scheme = "weight", f"fed by {fed}", "he" if gain != 1.0 else "lecun"
    if operation.role == "head":
        role, gain, why = "head", gain * HEAD_STD, f"{why}; the first guess should be near the best constant one"
    elif fact.name in found.ends:
        end = found.ends[fact.name]
        role, gain = "branch end", gain * math.sqrt(end.share)
        why = f"{why}; last weight of one of {end.branches} residual branches that share one stream"
        why += ", with a norm behind each" if end.is_normed else ""
    elif fact.name in found.queries:
        gain *= found.queries[fact.name]
        why = f"{why}; it makes up for scores that are not divided by the root of the head width"
    std = gain / math.sqrt(fan_in)
    source = "1502.01852" if scheme == "he" else "LeCun et al. 1998"
    if fact.name in found.chains and len(fact.shape) == len(use.shape) == 2 and use.blocks == 1:
        scheme, source, gain = "orthogonal", "1312.6120", chains.orthogonal_gain(gain, fan_in, fact.shape)
        why = f"{why}; one of {found.chains[fact.name].layers} layers in a chain, whose singular values multiply"
    return Entry(
        fact.name, "drawn", role, why, scheme, source,
        fan_in=fan_in, fan_out=use.fan_out, gain=gain, std=std, blocks=use.blocks,
        seed_key=fact.name, aliases=fact.aliases,
    )  # fmt: skip


def _recurrent(_: Layout, fact: TensorFact, uses: list[tuple[Operation, ParameterUse]]) -> Entry:
    use = uses[0][1]
    fan_in = use.fan_in or float(use.shape[-1])
    return Entry(
        fact.name, "drawn", "recurrent", "a map that is applied at every step: orthogonal, gate by gate", "orthogonal",
        "1312.6120", fan_in=fan_in, fan_out=use.fan_out, gain=1.0, std=1 / math.sqrt(fan_in), blocks=use.blocks,
        seed_key=fact.name, aliases=fact.aliases,
    )  # fmt: skip


def _table(found: Layout, fact: TensorFact, uses: list[tuple[Operation, ParameterUse]]) -> Entry:
    operation = uses[0][0]
    width = fact.shape[-1] if fact.shape else 1
    is_tied = any(use.slot == "weight" for _, use in _readings(found, fact.name, fact.aliases))
    is_stream = any(name in JOINS for name in (reader.role for reader in _reached(found.trace, operation)))
    std = width**-0.5 if is_tied or is_stream or operation.kind == "add" else 1.0
    std *= TIED_STD if is_tied else 1.0  # what it reads as a head has unit size, behind a norm
    reason = "tied to the head" if is_tied else "start of a residual stream" if std != 1.0 else "feeds a layer directly"
    if std == 1.0 and (state := gates.state_behind(found.trace, operation)):
        std, reason = gates.balanced(width, state), "as large as the matrix of the recurrent cell that reads it"
    padding = operation.attributes.get("padding_idx")
    row = padding % fact.shape[0] if isinstance(padding, int) and padding > -fact.shape[0] - 1 else None
    scheme = "contrast" if _has_contrast(found.trace, operation, fact) and not is_tied else "embedding"
    reason += "; what all rows have in common is taken away" if scheme == "contrast" else ""
    return Entry(
        fact.name, "drawn", "table", f"{reason}: standard deviation {std:.3g}", scheme, "", fan_in=1.0, gain=std,
        std=std, values=((row, row + 1, 0.0),) if row is not None else (), seed_key=fact.name, aliases=fact.aliases,
    )  # fmt: skip


def _has_contrast(trace: Trace, lookup: Operation, fact: TensorFact) -> bool:
    """Whether rows of the table shall have no mean: it would be added to every token alike, and says nothing.

    A cell that adds its inputs up (LSTM) is left it: a sum of it tells steps apart before anything is learned. 42 LSTMs
    that recall the first of 12 symbols (`benchmarks.small`, other seeds than those of `benchmarks.starts`) ended with a
    mean loss of 0.023 without it and 0.004 with it; 66 GRUs with 1.0e-4 and 1.3e-4.
    """
    is_one_table = len(fact.shape) == 2 and fact.shape[0] > 1 and lookup.name.startswith("embedding")
    return is_one_table and not gates.is_added_up(trace, lookup)


def _reached(trace: Trace, operation: Operation) -> list[Operation]:
    graph = Graph(trace)
    return [trace.operations[index] for index in sorted(graph.downstream({operation.index}))]


def _bias(found: Layout, fact: TensorFact, uses: list[tuple[Operation, ParameterUse]]) -> Entry:
    operation, use = uses[0]
    if use.blocks > 1 and (opened := gates.opened(operation.name, fact.shape[0] // use.blocks)):
        first = [each.parameter for each in operation.uses if each.slot == "bias"]
        if fact.name in first[::2]:  # of the two biases that add up, the one of the input
            return Entry(fact.name, "set", "bias", opened.why, value=0.0, values=opened.values, source=opened.source,
                         aliases=fact.aliases)  # fmt: skip
    weight = next((each for each in operation.uses if each.slot == "weight"), None)
    consumer = found.trace.operations[operation.consumer_index] if operation.consumer_index is not None else None
    if (
        weight is not None
        and consumer is not None
        and consumer.name in _KINKED
        and (weight.fan_in or math.inf) <= _LOW_DIMENSIONS
        and any(found.trace.operations[index].name == "input" for index in operation.inputs)
    ):
        why = (
            f"a ReLU of {weight.fan_in:.0f} inputs: each unit's kink is put on a sample, or all would lie in one point"
        )
        return Entry(fact.name, "set", "bias", why, "kinks", seed_key=fact.name, aliases=fact.aliases)
    why = "the weights already tell the units apart, and the variances hold exactly"
    return Entry(fact.name, "set", "bias", why, value=0.0, aliases=fact.aliases)


def _gain(trace: Trace, operation: Operation) -> tuple[float, str]:
    """Gain of the activation that feeds the operation, over the constant it is multiplied by, and words for both."""
    scale = 1.0
    for _ in range(_STEPS):
        sources = live_inputs(trace, operation)
        if not sources:
            return 1.0, "the batch"
        operation = sources[0]
        if operation.kind == "activation":
            return (operation.gain or 1.0) / scale, operation.name + (f" times {scale:.3g}" if scale != 1.0 else "")
        if operation.name == "input":
            return 1.0, "the batch"
        if factor := constant_factor(trace, operation):
            scale *= factor
        elif operation.kind not in _PASSES:
            return 1.0, f"a {operation.role or operation.kind}"
    return 1.0, "a view"
