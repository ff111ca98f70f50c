"""Collects samples while the model runs and summarises them in groups of one shape.

Every torch call made between two kernels of the model runs on cold caches, so the hot path does two (read a strided
view, copy it); the arithmetic is done for many samples at once whenever `PENDING` numbers have come together.
Nothing larger than that is ever kept.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from stepzero.measure import signal
from stepzero.measure.sampling import Plan, sample_of
from stepzero.probe.transfer import Ledger

PENDING = 1 << 20
"""Numbers held back before a summary: 4 MiB of float32."""
TOGETHER = 1 << 17
"""Numbers summarised in one go, as float64 and its square: 2 MiB."""

_ROUNDED = {torch.bfloat16: torch.float32, torch.float16: torch.float32}
"""Where a norm would be rounded to the tensor's own dtype, it is taken in a wider one."""

Key = tuple[int, bool, bool, torch.device, torch.dtype]
"""Id of the plan, has_range, has_off: plans are made once a shape, and an id is found faster than a plan."""


@dataclass(slots=True)
class Measured:
    """Where one operation's statistics will be found: row ``place`` of table ``ticket``."""

    plan: Plan
    is_forward: bool
    has_range: bool = False
    has_off: bool = False
    ticket: int = -1
    place: int = -1
    norm: tuple[int, int] = (-1, -1)
    """Gradients: ticket and place of the Euclidean norm of the whole tensor, every element of it."""
    numel: int = 0
    flatness: tuple[Tensor, Tensor] | None = None
    flat_tickets: tuple[int, int] | None = None


class Sampler:
    """Takes samples, hands out `Measured`, and puts the summaries into a ledger."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._groups: dict[Key, list[tuple[Measured, Tensor]]] = {}
        self._norms: dict[tuple[torch.device, torch.dtype], list[tuple[Measured, Tensor]]] = {}
        self._pending = 0

    def take(
        self, tensor: Tensor, plan: Plan, *, is_forward: bool, has_range: bool = False, has_off: bool = False
    ) -> Measured:
        """Copy a sample of ``tensor`` and queue it; of a gradient the norm of the whole as well.

        A sample alone would lie about a gradient that arrives at one position only: a class token, the last step of
        a sequence, every second pixel before a strided convolution.
        """
        sample = sample_of(tensor, plan)
        measured = Measured(plan, is_forward, has_range or has_off, has_off) if is_forward else self.weigh(tensor, plan)
        key = (id(plan), measured.has_range, has_off, sample.device, sample.dtype)
        self._groups.setdefault(key, []).append((measured, sample))
        self._pending += plan.rows * plan.units
        if self._pending > PENDING:
            self.flush()
        return measured

    def weigh(self, gradient: Tensor, plan: Plan) -> Measured:
        """Take the norm of a whole gradient and nothing by unit."""
        norm = torch.linalg.vector_norm(gradient, dtype=_ROUNDED.get(gradient.dtype))
        measured = Measured(plan, is_forward=False, numel=gradient.numel())
        self._norms.setdefault((norm.device, norm.dtype), []).append((measured, norm))
        return measured

    def flush(self) -> None:
        """Summarise everything queued."""
        for members in self._groups.values():
            plan = members[0][0].plan  # which keeps its id taken
            step = max(1, TOGETHER // (plan.rows * plan.units))
            for start in range(0, len(members), step):
                self._summarise(members[start : start + step])
        for members in self._norms.values():
            ticket = self._ledger.put(torch.stack([norm for _, norm in members]))
            for place, (measured, _) in enumerate(members):
                measured.norm = (ticket, place)
        self._groups.clear()
        self._norms.clear()
        self._pending = 0

    def _summarise(self, members: list[tuple[Measured, Tensor]]) -> None:
        """Samples that are read and summarised in the same way."""
        first = members[0][0]
        stacked = torch.stack([sample for _, sample in members])
        table = signal.summary(
            stacked.view(len(members), first.plan.rows, first.plan.units),
            first.plan,
            with_range=first.has_range,
            with_off=first.has_off,
        )
        ticket = self._ledger.put(table)
        for place, (measured, _) in enumerate(members):
            measured.ticket, measured.place = ticket, place
