"""Collects samples while the model runs and summarises them in groups that were read at as many places.

Every torch call made between two kernels of the model runs on cold caches, so the hot path does two (read a strided
view, copy it); the arithmetic is done for many samples at once whenever `PENDING` numbers have come together.
Nothing larger than that is ever kept.
"""

from collections.abc import Iterator
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

Key = tuple[int, int, bool, bool, torch.device, torch.dtype]
"""Rows, batch entries, has_range, has_off."""


@dataclass(slots=True)
class Table:
    """Statistics of several samples side by side, in a ledger."""

    ticket: int
    widths: list[int]
    """Units of each sample."""


@dataclass(slots=True)
class Measured:
    """Where one operation's statistics will be found: sample ``place`` of ``table``, whose units begin at ``start``."""

    plan: Plan
    is_forward: bool
    has_range: bool = False
    has_off: bool = False
    table: Table | None = None
    place: int = -1
    start: int = -1
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
        key = (plan.rows, plan.samples, measured.has_range, has_off, sample.device, sample.dtype)
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
            for together in _bounded(members):
                self._summarise(together)
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
        widths = [measured.plan.units for measured, _ in members]
        rows = [sample.view(first.plan.rows, width) for (_, sample), width in zip(members, widths, strict=True)]
        statistics = signal.summary(
            torch.cat(rows, 1),
            first.plan,
            with_range=first.has_range,
            with_off=first.has_off,
        )
        table, start = Table(self._ledger.put(statistics), widths), 0
        for place, (measured, _) in enumerate(members):
            measured.table, measured.place, measured.start = table, place, start
            start += widths[place]


def _bounded(members: list[tuple[Measured, Tensor]]) -> Iterator[list[tuple[Measured, Tensor]]]:
    """Neighbours, as many as are summarised in one go."""
    together: list[tuple[Measured, Tensor]] = []
    numbers = 0
    for member in members:
        numbers += member[1].numel()
        if together and numbers > TOGETHER:
            yield together
            together, numbers = [], member[1].numel()
        together.append(member)
    yield together
