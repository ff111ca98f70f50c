"""From the fetched tables of statistics to one frozen Signal for each sample."""

import math
from collections.abc import Callable
from typing import Any

import torch

from stepzero.core.trace import Signal
from stepzero.core.vector import Vector
from stepzero.measure.signal import FLAT, HIGH, LOW, MEAN, OFF, PLACE, SQUARE, batch_share
from stepzero.probe.sampler import Measured, Table
from stepzero.probe.transfer import Ledger

NONE = Vector()


class Tables:
    """Cuts the fetched tables apart; what a whole group of samples can share is worked out once."""

    def __init__(self, ledger: Ledger) -> None:
        self._ledger = ledger
        self._norms: dict[int, list[float]] = {}
        self._groups: dict[int, tuple[memoryview[float], int, list[list[float]], list[list[Any]]]] = {}

    def signal(self, measured: Measured) -> Signal:
        """The frozen statistics of one sample."""
        if measured.table is None:
            return self._weighed(measured)
        plan, width = measured.plan, measured.plan.units
        data, across, group_means, group_ranges = self._group(measured, measured.table)
        means, (low, high) = group_means[measured.place], group_ranges[measured.place]

        def bits(index: int) -> bytes:
            start = index * across + measured.start
            return data[start : start + width].tobytes()

        def row(index: int) -> Vector:
            return Vector(bits(index))

        rms, is_finite = self._rms(measured, means[SQUARE], means[MEAN])
        flat, off = self._slopes(measured, row)
        return Signal(
            rows=plan.rows,
            samples=plan.samples,
            units=width,
            rms=rms,
            mean=means[MEAN],
            low=low,
            high=high,
            batch_share=batch_share(means[SQUARE], means[PLACE], plan.samples) if measured.is_forward else None,
            unit_mean=row(MEAN),
            unit_square=row(SQUARE),
            fingerprint=Vector(b"".join(map(bits, range(1, SQUARE)))),
            unit_low=row(LOW) if measured.has_range else NONE,
            unit_high=row(HIGH) if measured.has_range else NONE,
            flat_share=flat,
            off_share=off,
            nonfinite=not is_finite,
        )

    def _weighed(self, measured: Measured) -> Signal:
        """A gradient of which the size is known and nothing by unit."""
        rms, is_finite = self._rms(measured, math.nan, 0.0)
        return Signal(
            rows=measured.plan.rows,
            samples=measured.plan.samples,
            units=0,
            rms=rms,
            mean=math.nan,
            low=None,
            high=None,
            batch_share=None,
            unit_mean=NONE,
            unit_square=NONE,
            fingerprint=NONE,
            nonfinite=not is_finite,
        )

    def _rms(self, measured: Measured, sample_square: float, sample_mean: float) -> tuple[float, bool]:
        """Of the whole gradient, else of the sample, which also steps in where squares under- or overflow."""
        ticket, place = measured.norm
        if ticket < 0:
            return (math.sqrt(sample_square) if sample_square >= 0 else math.nan), math.isfinite(sample_mean)
        if ticket not in self._norms:
            self._norms[ticket] = list(self._ledger.numbers(ticket))
        norm = self._norms[ticket][place]
        if math.isnan(norm) or not math.isfinite(sample_mean):
            return norm, False
        if norm == 0.0 or math.isinf(norm):
            return (norm if math.isnan(sample_square) else math.sqrt(sample_square)), True
        return norm / math.sqrt(measured.numel), True

    def _slopes(self, measured: Measured, row: Callable[[int], Vector]) -> tuple[Vector, Vector]:
        if measured.flat_tickets is not None:
            flat, off = measured.flat_tickets
            return self._ledger.vector(flat), self._ledger.vector(off)
        return (row(FLAT), row(OFF)) if measured.has_off else (NONE, NONE)

    def _group(
        self, measured: Measured, table: Table
    ) -> "tuple[memoryview[float], int, list[list[float]], list[list[Any]]]":
        """All numbers, how many stand side by side, and of each sample its means over units and its range."""
        if table.ticket not in self._groups:
            across, lengths = sum(table.widths), torch.tensor(table.widths)
            rows = self._ledger.tensor(table.ticket).view(-1, across)
            means = torch.segment_reduce(rows.T.contiguous(), "mean", lengths=lengths)
            ranges: list[list[Any]] = [[None, None]] * len(table.widths)
            if measured.has_range:
                low = torch.segment_reduce(rows[LOW], "min", lengths=lengths)
                ranges = torch.stack([low, torch.segment_reduce(rows[HIGH], "max", lengths=lengths)], 1).tolist()
            self._groups[table.ticket] = self._ledger.numbers(table.ticket), across, means.tolist(), ranges
        return self._groups[table.ticket]
