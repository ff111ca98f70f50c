"""Norms that take a unit's mean off: a bias in front of them changes nothing, whatever it is.

Shapes: B samples, C channels, P places.
"""

from typing import Any

from torch import Tensor

from stepzero.probe.uses import argument

_CHANNELS = 1
_USES_BATCH = {"batch_norm": (5, "training", False), "instance_norm": (5, "use_input_stats", True)}
"""Place, name and default of the flag that asks for the statistics of this batch."""


def without_means(name: str, args: tuple[Any, ...], kwargs: dict[str, Any], axes: tuple[int, ...]) -> Tensor | None:
    """The norm's operand [B, C, P...] less the means it takes off; None where these mix channels or are stored.

    ``axes`` are those of the units; they have to be the norm's channels.
    """
    operand = argument(args, kwargs, 0, "input")
    if not isinstance(operand, Tensor) or operand.dim() < 2 or axes != (_CHANNELS,) or operand.is_complex():
        return None
    whole, places = operand.detach(), tuple(range(2, operand.dim()))
    if name in _USES_BATCH and argument(args, kwargs, *_USES_BATCH[name]):
        return whole - whole.mean((0, *places) if name == "batch_norm" else places, keepdim=True)
    if name == "group_norm" and argument(args, kwargs, 1, "num_groups") == whole.shape[_CHANNELS] and places:
        return whole - whole.mean(places, keepdim=True)
    return None
