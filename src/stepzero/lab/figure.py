"""Line charts as SVG text, without a drawing library: linear or logarithmic axes, one line a name."""

import math
from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 340, 70, 130, 40, 48
COLOURS = ("#1f6fb4", "#d9622b", "#3a8f4d", "#7b52a8", "#8a6d3b", "#c2185b")
_TICKS = 5
Points = Sequence[tuple[float, float]]


class Axis:
    """From numbers to pixels, straight or by logarithm."""

    def __init__(self, values: Sequence[float], start: float, stop: float, *, is_log: bool) -> None:
        self.is_log, self.start, self.stop = is_log, start, stop
        scaled = [math.log10(value) if is_log else value for value in values]
        self.low, self.high = min(scaled), max(scaled)
        if self.low == self.high:
            self.low, self.high = self.low - 0.5, self.high + 0.5

    def place(self, value: float) -> float:
        """Pixel of a value."""
        scaled = math.log10(value) if self.is_log else value
        return round(self.start + (scaled - self.low) / (self.high - self.low) * (self.stop - self.start), 1)

    def ticks(self) -> list[float]:
        """Some values to write down: whole powers of ten, or evenly spaced."""
        if self.is_log:
            step = max(1, math.ceil((self.high - self.low) / _TICKS))
            powers = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1, step)
            return [10.0**power for power in powers] or [10**self.low, 10**self.high]
        return [self.low + (self.high - self.low) * part / _TICKS for part in range(_TICKS + 1)]


def lines(
    title: str, across: str, up: str, series: Mapping[str, Points], *, is_log_x: bool = False, is_log_y: bool = False
) -> str:
    """SVG of one line a name. On a logarithmic axis points that are not positive are left out."""
    kept = {
        name: [(x, y) for x, y in points if (x > 0 or not is_log_x) and (y > 0 or not is_log_y) and math.isfinite(y)]
        for name, points in series.items()
    }
    points = [point for each in kept.values() for point in each]
    if not points:
        raise ValueError(f"figure {title!r} has no point to show")
    x_axis = Axis([x for x, _ in points], LEFT, WIDTH - RIGHT, is_log=is_log_x)
    y_axis = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP, is_log=is_log_y)
    parts = [_text(LEFT, 18, title, "start"), _text(LEFT, TOP - 8, up, "start")]
    parts.append(_text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, "middle"))
    parts += [_text(x_axis.place(x), HEIGHT - BOTTOM + 18, f"{x:.3g}", "middle") for x in x_axis.ticks()]
    for y in y_axis.ticks():
        level = y_axis.place(y)
        parts.append(f'<path d="M{LEFT} {level}H{WIDTH - RIGHT}" stroke="#ddd"/>')
        parts.append(_text(LEFT - 8, level + 4, f"{y:.3g}", "end"))
    for number, (name, each) in enumerate(kept.items()):
        places = [(x_axis.place(x), y_axis.place(y)) for x, y in each]
        parts += _line(places, name, COLOURS[number % len(COLOURS)], number)
    return _page(parts)


def _line(places: Sequence[tuple[float, float]], name: str, colour: str, number: int) -> list[str]:
    path = " ".join(f"{x},{y}" for x, y in places)
    dots = [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
    level = TOP + 14 + 18 * number
    label = [f'<path d="M{WIDTH - RIGHT + 12} {level - 4}h14" stroke="{colour}" stroke-width="2"/>']
    label.append(_text(WIDTH - RIGHT + 32, level, name, "start"))
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots, *label]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    words = words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>'


def _page(parts: Sequence[str]) -> str:
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    body = "\n".join(parts)
    return f'{head} font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
