"""Does the loss ask for the next token? Then no position may see what it is asked for."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from stepzero.probe.replica import Replica
from stepzero.probe.subject import Subject
from stepzero.probe.uses import argument
from stepzero.probe.vocabulary import spec_of

_LOSSES = frozenset(["cross_entropy", "nll_loss"])
_MOST = 0.5
"""Share of the positions that must have a target."""


@dataclass(frozen=True, slots=True)
class NextToken:
    """An input whose next tokens are the targets of a loss."""

    name: str
    tokens: Tensor

    @property
    def length(self) -> int:
        """Positions of the input."""
        return int(self.tokens.shape[1])

    def is_it(self, tensor: Tensor) -> bool:
        """Whether ``tensor`` is this input, or a copy of it."""
        is_alike = tensor.shape == self.tokens.shape and tensor.dtype == self.tokens.dtype
        return is_alike and torch.equal(tensor, self.tokens)


class _Targets(TorchFunctionMode):
    """Keeps the labels of every classification loss that is called under it."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Tensor] = []
        self.phase = "forward"

    def add_input(self, name: str, tensor: Tensor) -> None:
        """As a recorder is told; not needed here."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        spec, kwargs = spec_of(func), kwargs or {}
        target = argument(args, kwargs, 1, "target") if spec.name in _LOSSES else None
        if isinstance(target, Tensor) and not target.is_floating_point():
            self.found.append(target.detach())
        if spec.opened is not None:
            with self:
                return spec.opened(*args, **kwargs)
        return func(*args, **kwargs)


def next_token(replica: Replica, subject: Subject) -> NextToken | None:
    """The first input of whole numbers, [batch, positions], whose next ones are what some loss asks for."""
    candidates = [
        (name, tensor)
        for name, tensor in subject.named_inputs()
        if tensor.dim() == 2 and tensor.shape[1] > 2 and tensor.dtype in (torch.int64, torch.int32)
    ]
    if not candidates:
        return None
    watch = _Targets()
    replica.run(0, watch=watch, loss_only=True)
    for name, tensor in candidates:
        if any(is_next(tensor, target) for target in watch.found):
            return NextToken(name, tensor)
    return None


def is_next(tokens: Tensor, target: Tensor) -> bool:
    """Whether ``target`` holds at each position the token of the next one; negative labels are asked for nothing.

    Args:
        tokens: [B, T] whole numbers.
        target: any shape with B x T or B x (T - 1) entries.
    """
    batch, length = tokens.shape
    if target.numel() not in (batch * length, batch * (length - 1)):
        return False
    asked = target.reshape(batch, -1)[:, : length - 1]
    following = tokens[:, 1:].to(asked.device, asked.dtype)
    counts = asked >= 0
    is_told = bool(counts.float().mean() > _MOST)
    is_shift = bool((asked == following)[counts].all())
    return is_told and is_shift and not torch.equal(tokens[:, 1:], tokens[:, :-1])
