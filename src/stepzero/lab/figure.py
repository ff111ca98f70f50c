"""Line charts without a drawing library, axes straight or logarithmic, one line a name: SVG here, PNG in `png`."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

PLOT, HEIGHT, LEFT, TOP, BOTTOM = 360, 340, 70, 44, 48
"""Width of the plot, height of the figure and its borders."""
SIZE = 12
"""Height of the letters."""
COLOURS = ("#1f6fb4", "#d9622b", "#3a8f4d", "#7b52a8", "#8a6d3b", "#c2185b")
RASTER, INK = "#dddddd", "#000000"
_TICKS = 5
_LETTER = 7
"""Width of a letter, at most on the average."""
Points = Sequence[tuple[float, float]]
Anchor = Literal["start", "middle", "end"]


@dataclass(frozen=True)
class Line:
    """Through these places."""

    places: tuple[tuple[float, float], ...]
    colour: str
    thickness: int


@dataclass(frozen=True)
class Dot:
    """Around this place."""

    x: float
    y: float
    colour: str
    radius: int = 3


@dataclass(frozen=True)
class Text:
    """Words that start, end or have their middle at x, on a base line at y."""

    x: float
    y: float
    words: str
    anchor: Anchor


Mark: TypeAlias = Line | Dot | Text


@dataclass(frozen=True)
class Figure:
    """Marks on a white sheet, in the order in which they are drawn; pixels from its upper left corner."""

    width: int
    height: int
    marks: tuple[Mark, ...]

    def svg(self) -> str:
        """As SVG text."""
        head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {self.width} {self.height}" '
        style = f'font-family="sans-serif" font-size="{SIZE}">'
        sheet = '<rect width="100%" height="100%" fill="#fff"/>'
        return "\n".join([head + style, sheet, *map(_svg, self.marks), "</svg>"]) + "\n"


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
        """Some values to write down: whole powers of ten, or multiples of 1, 2 or 5 times one."""
        if self.is_log:
            apart = max(1, math.ceil((self.high - self.low) / _TICKS))
            powers = range(math.ceil(self.low - 1e-9), math.floor(self.high + 1e-9) + 1, apart)
            found = [10.0**power for power in powers]
            return found if len(found) > 1 else [10**self.low, 10 ** ((self.low + self.high) / 2), 10**self.high]
        rough = (self.high - self.low) / _TICKS
        power = 10.0 ** math.floor(math.log10(rough))
        step = power * min(factor for factor in (1, 2, 5, 10) if factor * power >= rough * (1 - 1e-9))
        first, last = math.ceil(self.low / step - 1e-9), math.floor(self.high / step + 1e-9)
        return [number * step for number in range(first, last + 1)]


def lines(
    title: str, across: str, up: str, series: Mapping[str, Points], *, is_log_x: bool = False, is_log_y: bool = False
) -> Figure:
    """One line a name. On a logarithmic axis points that are not positive are left out."""
    kept = {
        name: [(x, y) for x, y in points if (x > 0 or not is_log_x) and (y > 0 or not is_log_y) and math.isfinite(y)]
        for name, points in series.items()
    }
    points = [point for each in kept.values() for point in each]
    if not points:
        raise ValueError(f"figure {title!r} has no point to show")
    x_axis = Axis([x for x, _ in points], LEFT, LEFT + PLOT, is_log=is_log_x)
    y_axis = Axis([y for _, y in points], HEIGHT - BOTTOM, TOP, is_log=is_log_y)
    marks: list[Mark] = [Text(LEFT, 18, title, "start"), Text(LEFT, TOP - 8, up, "start")]
    marks += _raster(x_axis, y_axis)
    marks.append(Text(LEFT + PLOT / 2, HEIGHT - 10, across, "middle"))
    for number, (name, each) in enumerate(kept.items()):
        places = tuple((x_axis.place(x), y_axis.place(y)) for x, y in each)
        marks += _line(places, name, COLOURS[number % len(COLOURS)], number)
    right = max(44 + _LETTER * max(map(len, kept)), LEFT + _LETTER * len(title) - PLOT - LEFT + 10)
    return Figure(LEFT + PLOT + right, HEIGHT, tuple(marks))


def _raster(x_axis: Axis, y_axis: Axis) -> list[Mark]:
    marks: list[Mark] = [Text(x_axis.place(x), HEIGHT - BOTTOM + 18, _number(x), "middle") for x in x_axis.ticks()]
    for y in y_axis.ticks():
        level = y_axis.place(y)
        marks.append(Line(((LEFT, level), (LEFT + PLOT, level)), RASTER, 1))
        marks.append(Text(LEFT - 8, level + 4, _number(y), "end"))
    return marks


def _number(value: float) -> str:
    """Three digits; no exponent up to a million."""
    rounded = float(f"{value:.3g}")
    return f"{rounded:.0f}" if rounded == int(rounded) and abs(rounded) <= 1e6 else f"{rounded:.3g}"


def _line(places: tuple[tuple[float, float], ...], name: str, colour: str, number: int) -> list[Mark]:
    level, right = TOP + 14 + 18 * number, LEFT + PLOT
    label: list[Mark] = [
        Line(((right + 12, level - 4), (right + 26, level - 4)), colour, 2),
        Text(right + 32, level, name, "start"),
    ]
    return [Line(places, colour, 2), *(Dot(x, y, colour) for x, y in places), *label]


def _svg(mark: Mark) -> str:
    if isinstance(mark, Text):
        words = mark.words.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
        return f'<text x="{mark.x:g}" y="{mark.y:g}" text-anchor="{mark.anchor}">{words}</text>'
    if isinstance(mark, Dot):
        return f'<circle cx="{mark.x:g}" cy="{mark.y:g}" r="{mark.radius}" fill="{mark.colour}"/>'
    path = " ".join(f"{x:g},{y:g}" for x, y in mark.places)
    return f'<polyline points="{path}" fill="none" stroke="{mark.colour}" stroke-width="{mark.thickness}"/>'
