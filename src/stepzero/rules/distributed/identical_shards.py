"""SZ801."""

from stepzero.core.finding import Finding, Fix
from stepzero.core.graph import Graph
from stepzero.core.limits import Limits
from stepzero.core.rule import Verdict, rule
from stepzero.core.trace import Operation, ParameterUse, TensorFact, Trace
from stepzero.measure.copies import following, period
from stepzero.measure.uses import units, weight_use


@rule("SZ801", "identical-shards", tier=2, limits=("shard_min_units", "shard_fingerprint"))
def identical_shards(trace: Trace, limits: Limits) -> Verdict:
    """A weight consists of equal blocks: its shards were drawn from one seed.

    What it finds
    -------------
    A random weight whose units answer in equal blocks: unit i like unit i + n/k for every i, with k blocks of at
    least four units that differ inside a block. An error when the gradients that arrive are equal in the same way, so
    that the copies never separate; a warning when what reads the units tells them apart. Seen in tensors that are
    gathered in one place; shards on other ranks are not compared.

    Why it matters
    --------------
    A tensor-parallel layer whose ranks share a seed has n/k different units, not n. When the next layer is sharded by
    rows with the same seed as well, its columns repeat too, and the copies stay copies.

    When it is fine
    ---------------
    Replicated tensors (norms, biases) must be equal, and constants are another rule's matter. Units repeated next to
    each other (sub-pixel start), mirrored units and weights shared on purpose are silent, as are frozen ones.

    Bad
    ---
    import torch
    from torch import nn

    def build():
        up, down = nn.Linear(32, 64, bias=False), nn.Linear(64, 4, bias=False)
        with torch.no_grad():
            up.weight.copy_(torch.cat([torch.randn(16, 32)] * 4) / 32**0.5)
            down.weight.copy_(torch.cat([torch.randn(4, 16)] * 4, 1) / 8)
        return nn.Sequential(up, nn.ReLU(), down), torch.randn(64, 32)

    expected = ("0.weight",)

    Good
    ----
    import torch
    from torch import nn

    def build():
        up, down = nn.Linear(32, 64, bias=False), nn.Linear(64, 4, bias=False)
        with torch.no_grad():
            up.weight.copy_(torch.cat([torch.randn(16, 32) for _ in range(4)]) / 32**0.5)
            down.weight.copy_(torch.cat([torch.randn(4, 16) for _ in range(4)], 1) / 8)
        return nn.Sequential(up, nn.ReLU(), down), torch.randn(64, 32)

    Fix
    ---
    Seed each shard with its coordinate on the mesh, or draw the whole tensor and slice it.

    References
    ----------
    modelscope/ms-swift#7944; InternLM/InternLM#405; pytorch/torchtitan#4600.
    """
    graph, facts = Graph(trace), {fact.name: fact for fact in trace.parameters}
    said: set[str] = set()
    for operation in trace.weighted():
        use = weight_use(operation)
        fact = facts.get(use.parameter) if use is not None else None
        if use is None or fact is None or fact.name in said or not _is_judged(operation, use, fact):
            continue
        block = _block(graph, operation, limits)
        if block is not None:
            said.add(fact.name)
            yield _finding(operation, fact, block, limits)


def _is_judged(operation: Operation, use: ParameterUse, fact: TensorFact) -> bool:
    """A random, trainable weight with an input shared by all units, every unit of which was measured."""
    is_whole = operation.forward is not None and operation.forward.units == units(operation)
    is_shared = "group" not in use.axes and operation.attributes.get("groups", 1) == 1
    return use.slot == "weight" and is_whole and is_shared and fact.requires_grad and not fact.is_constant


def _block(graph: Graph, operation: Operation, limits: Limits) -> int | None:
    """Units a block; the bias and the activation that follow must leave the blocks equal."""
    blocks = set[int | None]()
    for stage in (operation, *following(graph, operation)):
        if stage.forward is not None:
            blocks.add(period(stage.forward, limits.shard_fingerprint, least=int(limits.shard_min_units)))
    return blocks.pop() if len(blocks) == 1 else None


def _finding(operation: Operation, fact: TensorFact, block: int, limits: Limits) -> Finding:
    back, least = operation.backward, int(limits.shard_min_units)
    is_kept = back is not None and period(back, limits.shard_fingerprint, least=least) == block
    count = units(operation) // block
    fate = "and their gradients are equal as well" if is_kept else "and only what reads them tells them apart"
    return Finding(
        code="SZ801",
        name="identical-shards",
        severity="error" if is_kept else "warning",
        where=(fact.name,),
        message=f"the {units(operation)} units are {count} equal blocks of {block} (limit 1 block), {fate}",
        value=float(count),
        limit=1.0,
        unit="equal blocks",
        evidence="gradient" if is_kept else "value",
        cause="same-seed",
        fix=Fix(
            "seed each shard with its mesh coordinate, or redraw all blocks but one", fact.name, "law", is_safe=True
        ),
        citation="InternLM/InternLM#405",
        operation=operation.index,
    )
