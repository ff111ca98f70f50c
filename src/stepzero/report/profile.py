"""The signal and the gradient by depth, as points of a small chart on a logarithmic scale."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from stepzero.core.outcome import LayerRow

WIDTH, HEIGHT = 720.0, 120.0
"""Size of the drawing in pixels."""
MOST = 300
"""Points of one line; of more layers every so many-th is drawn."""
LEAST_DECADES = 2.0
"""Decades that are shown at least, so that a flat profile looks flat."""


@dataclass(frozen=True, slots=True)
class Line:
    """One quantity over the layers."""

    title: str
    points: str
    """``x,y`` pairs for an SVG polyline, empty without two numbers to join."""
    low: str
    """The power of ten at the lower edge."""
    high: str
    dots: tuple[tuple[float, float, str], ...]
    """Layers that a finding names: x, y, severity."""


def profile(rows: Sequence[LayerRow], marks: Mapping[int, str]) -> tuple[Line, ...]:
    """Signal (rms behind the layer) and gradient (rms over that of the weight), left to right through the model."""
    step = max(1, math.ceil(len(rows) / MOST))
    shown = list(rows)[::step]
    lines = (
        _line("rms of the signal behind each layer", [(row, row.signal_out) for row in shown], marks),
        _line("rms of the gradient over that of the weight", [(row, row.gradient_to_weight) for row in shown], marks),
    )
    return tuple(line for line in lines if line.points)


def _line(title: str, values: Sequence[tuple[LayerRow, float | None]], marks: Mapping[int, str]) -> Line:
    logs = [
        (number, row, math.log10(value))
        for number, (row, value) in enumerate(values)
        if value is not None and math.isfinite(value) and value > 0
    ]
    if len(logs) < 2:
        return Line(title, "", "", "", ())
    low, high = _range([log for _, _, log in logs])
    placed = [
        (
            round(WIDTH * number / max(1, len(values) - 1), 1),
            round(HEIGHT * (1 - (log - low) / (high - low)), 1),
            marks.get(row.operation, ""),
        )
        for number, row, log in logs
    ]
    points = " ".join(f"{x:g},{y:g}" for x, y, _ in placed)
    return Line(title, points, f"1e{low:g}", f"1e{high:g}", tuple(dot for dot in placed if dot[2]))


def _range(logs: Sequence[float]) -> tuple[float, float]:
    """Whole decades around the values."""
    low, high = math.floor(min(logs)), math.ceil(max(logs))
    while high - low < LEAST_DECADES:
        low, high = (low - 1, high) if high - max(logs) > min(logs) - low else (low, high + 1)
    return float(low), float(high)
