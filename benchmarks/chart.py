"""A log-log line chart as a small SVG text, without a drawing library."""

import math
from collections.abc import Iterable, Mapping, Sequence

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 560, 360, 64, 120, 34, 48
COLOURS = ("#1f6fb4", "#d9622b", "#3a8f4d", "#7b52a8")
Points = Sequence[tuple[float, float]]


def log_log(title: str, across: str, up: str, lines: Mapping[str, Points]) -> str:
    """SVG of one line a name; every point lies at positive coordinates. Ticks: the x values, powers of ten in y."""
    points = [point for line in lines.values() for point in line]
    xs = sorted({x for x, _ in points})
    decades = [math.log10(y) for _, y in points]
    low, high = math.floor(min(decades)), math.ceil(max(decades))
    high = max(high, low + 1)

    def place(x: float, y: float) -> tuple[float, float]:
        wide = math.log(x / xs[0]) / (math.log(xs[-1] / xs[0]) or 1.0)
        tall = (math.log10(y) - low) / (high - low)
        return round(LEFT + wide * (WIDTH - LEFT - RIGHT), 1), round(
            HEIGHT - BOTTOM - tall * (HEIGHT - TOP - BOTTOM), 1
        )

    parts = [_text(WIDTH / 2, 18, title, "middle"), _text((LEFT + WIDTH - RIGHT) / 2, HEIGHT - 10, across, "middle")]
    parts.append(_text(8, TOP - 10, up, "start"))
    parts += [_text(place(x, 10**low)[0], HEIGHT - BOTTOM + 18, f"{x:g}", "middle") for x in xs]
    for power in range(low, high + 1):
        (left, level), (right, _) = place(xs[0], 10**power), place(xs[-1], 10**power)
        parts.append(f'<path d="M{left} {level}H{right}" stroke="#ccc"/>')
        parts.append(_text(LEFT - 8, level + 4, f"{10.0**power:g}", "end"))
    for colour, (name, line) in zip(COLOURS, lines.items(), strict=False):
        parts += _line([place(*point) for point in line], name, colour)
    return _page(parts)


def _line(places: Sequence[tuple[float, float]], name: str, colour: str) -> list[str]:
    path = " ".join(f"{x},{y}" for x, y in places)
    dots = [f'<circle cx="{x}" cy="{y}" r="3" fill="{colour}"/>' for x, y in places]
    last = places[-1]
    label = _text(last[0] + 8, last[1] + 4, name, "start")
    return [f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>', *dots, label]


def _text(x: float, y: float, words: str, anchor: str) -> str:
    words = words.replace("&", "&amp;").replace("<", "&lt;")
    return f'<text x="{x:g}" y="{y:g}" text-anchor="{anchor}">{words}</text>'


def _page(parts: Iterable[str]) -> str:
    body = "\n".join(parts)
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif"'
    return f'{head} font-size="12">\n<rect width="100%" height="100%" fill="#fff"/>\n{body}\n</svg>\n'
