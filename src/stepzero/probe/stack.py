"""Certificates that need no data: is this a plain stack, and which of its units do the weights alone make one?"""

from collections.abc import Mapping

import torch
from torch import Tensor

from stepzero.core.symmetry import SymmetryFact
from stepzero.core.trace import Operation, ParameterUse, Trace
from stepzero.measure.redundancy import Stage, coarsest_partition, twin_groups

_PASSES = frozenset(["activation", "norm", "view", "pool", "dropout"])
_WEIGHS = frozenset(["linear", "conv1d", "conv2d", "conv3d"])


def certificate(trace: Trace, parameters: Mapping[str, Tensor]) -> dict[str, list[list[int]]] | None:
    """Groups of hidden units that are one for every input and every loss, by weight; None for no plain stack.

    A plain stack is a chain of linear and convolution layers (one group), norms, activations, pooling and views. The
    groups are the coarsest lumpable partition (colour refinement), of which twins are the finest case.
    """
    found = stages_of(trace, parameters)
    if found is None:
        return None
    names, stages = found
    groups: dict[str, list[list[int]]] = {}
    for name, colours in zip(names[:-1], coarsest_partition(stages), strict=True):
        members: dict[int, list[int]] = {}
        for unit, colour in enumerate(colours):
            members.setdefault(colour, []).append(unit)
        groups[name] = [units for units in members.values() if len(units) > 1]
    return groups


def compared(fact: SymmetryFact, groups: dict[str, list[list[int]]] | None) -> str:
    """In words, how what the probe saw compares with what the weights alone prove."""
    if groups is None:
        return ""
    seen = {name: set[tuple[int, ...]]() for name in groups}
    for block in fact.blocks:
        if block.level in ("twins", "lumped") and block.members[0].parameter in seen:
            seen[block.members[0].parameter].add(block.members[0].units)
    proved = {name: {tuple(group) for group in each} for name, each in groups.items()}
    if all(seen[name] <= proved[name] for name in groups):
        return "proved from the weights alone: colour refinement finds the same blocks, for every input and loss"
    return "colour refinement of the weights finds other blocks: what was seen holds on this data"


def static_twins(trace: Trace, parameters: Mapping[str, Tensor]) -> dict[str, list[list[int]]] | None:
    """Groups of hidden units whose row, bias, norm parameters and all columns are equal; None for no plain stack."""
    found = stages_of(trace, parameters)
    if found is None:
        return None
    names, stages = found
    groups = {}
    for name, stage, above in zip(names, stages, stages[1:], strict=False):
        columns = above.weight.movedim(1, 0).flatten(1)
        groups[name] = twin_groups(torch.cat([stage.weight.flatten(1), stage.extra, columns], 1))
    return groups


def stages_of(trace: Trace, parameters: Mapping[str, Tensor]) -> tuple[list[str], list[Stage]] | None:
    """Weights of a plain stack in order, with their names; None when something else stands between them."""
    names: list[str] = []
    stages: list[Stage] = []
    last = -1
    for operation in trace.operations:
        if not operation.from_input or operation.in_loss or operation.kind == "loss":
            continue
        if operation.name == "input":
            if last >= 0:
                return None
        elif operation.kind == "weighted" and _is_plain(operation, last):
            stage = _stage(operation, parameters, len(stages[-1].weight) if stages else None)
            if stage is None:
                return None
            names.append(operation.uses[0].parameter)
            stages.append(stage)
        elif operation.kind not in _PASSES or operation.inputs != (last,) or not _absorb(stages, operation, parameters):
            return None
        last = operation.index
    is_once = len(set(names)) == len(names) > 1
    return (names, stages) if is_once else None


def _is_plain(operation: Operation, last: int) -> bool:
    is_known = operation.name in _WEIGHS and operation.attributes.get("groups", 1) == 1
    return is_known and operation.inputs == (last,) and all(not use.is_derived for use in operation.uses)


def _stage(operation: Operation, parameters: Mapping[str, Tensor], below: int | None) -> Stage | None:
    weights = [use for use in operation.uses if use.slot == "weight" and use.axes[:2] == ("out", "in")]
    if len(weights) != 1 or not _is_whole(weights[0], parameters):
        return None
    weight = parameters[weights[0].parameter].detach().double()
    inputs = below if below is not None else weight.shape[1]
    if not weight.numel() or weight[0].numel() % inputs:
        return None
    extra = [parameters[use.parameter].detach().double()[:, None] for use in operation.uses if use.slot == "bias"]
    return Stage(
        weight.reshape(len(weight), inputs, -1), torch.cat(extra, 1) if extra else weight.new_zeros(len(weight), 0)
    )


def _is_whole(use: ParameterUse, parameters: Mapping[str, Tensor]) -> bool:
    tensor = parameters.get(use.parameter)
    return (
        tensor is not None
        and not tensor.is_complex()
        and use.part is None
        and use.parameter_axes == tuple(range(tensor.dim()))
    )


def _absorb(stages: list[Stage], operation: Operation, parameters: Mapping[str, Tensor]) -> bool:
    """Norm gains, shifts and slopes belong to the rows of the layer before them; False when they do not fit it."""
    for use in operation.uses:
        tensor = parameters.get(use.parameter)
        if tensor is None or not stages or use.part is not None or use.is_derived:
            return False
        flat = tensor.detach().double().flatten()
        if len(flat) not in (1, len(stages[-1].weight)):
            return False
        column = flat.expand(len(stages[-1].weight))[:, None]
        stages[-1] = Stage(stages[-1].weight, torch.cat([stages[-1].extra, column], 1))
    return True
