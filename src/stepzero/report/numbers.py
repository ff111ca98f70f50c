"""Numbers as people read them: three significant digits, thousands apart, shares in percent, shapes as 128x784."""

import math


def number(value: float | None) -> str:
    """Three significant digits, '-' for None: 0.0361, 1,200, 1.2e-5."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    if (value == round(value) or abs(value) >= 1e3) and abs(value) < 1e5:
        return f"{round(value):,}"
    mantissa, _, exponent = f"{value:.3g}".partition("e")
    return f"{mantissa}e{int(exponent)}" if exponent else mantissa


def share(value: float | None) -> str:
    """A share of 0 to 1 in percent; 0% and 100% are said of exactly 0 and exactly 1 only."""
    if value is None:
        return "-"
    if not math.isfinite(value):
        return str(value)
    percent = 100 * value
    if 0 < percent < 0.1:
        return "<0.1%"
    if 99.9 < percent < 100:
        return ">99.9%"
    return f"{percent:.1f}%" if 0 < percent < 1 or 99.5 <= percent < 100 else f"{percent:.0f}%"


def shape(sizes: tuple[int, ...]) -> str:
    """Sizes joined by 'x'; 'scalar' for none."""
    return "x".join(map(str, sizes)) or "scalar"


def count(num: int, noun: str, plural: str = "") -> str:
    """A number with its noun, in the plural when it is not one: '1 error', '0 errors', '12,800 weights'."""
    return f"{num:,} {noun if num == 1 else plural or noun + 's'}"


def part(num: int, whole: int, noun: str) -> str:
    """So many of all: '1,204 of 1,204 parameters'."""
    return f"{num:,} of {count(whole, noun)}"
