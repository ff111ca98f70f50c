"""Fans of a live model, from what reads its weights."""

from typing import Any

from torch import nn

from stepzero.api.checking import trace
from stepzero.core.errors import TargetError
from stepzero.core.plan import FanFact
from stepzero.probe.layouts import module_fans, traced_fans


def fans(model: nn.Module, batch: Any = None) -> dict[str, FanFact]:
    """True fan-in and fan-out of every weight, by parameter name, and where each comes from.

    Args:
        model: any `torch.nn.Module`; left as it is.
        batch: as in `check`. With it fans come from the operations that read each weight, whoever calls them: einsum,
            transposed by hand, experts. Without it only torch's own modules are understood.

    Returns:
        A `FanFact` by name; parameters without fans (biases, norms) or of unknown layout are absent. What has no
        memory to run on (meta) is told from its modules all the same.
    """
    if not isinstance(model, nn.Module):
        raise TargetError(f"model: expected a torch.nn.Module, got {type(model).__name__}; pass the module itself")
    if batch is None:
        return {fact.name: fact for fact in module_fans(model)}
    return {fact.name: fact for fact in traced_fans(trace(model, batch)) or module_fans(model)}
