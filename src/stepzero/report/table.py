"""The table by layer: one line a weighted operation when the terminal is wide, one small block when it is not."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from stepzero.core.finding import RANK
from stepzero.core.outcome import LayerRow, Report
from stepzero.report import numbers
from stepzero.report.collapse import Gap, Shown, collapse
from stepzero.report.style import Paint, cells, clean, flow, pad, shorten, wrap

WIDE = 100
"""Columns from which a table is drawn; below, records."""
TABLE_ROWS = 24
RECORDS = 10
"""Rows and records up to which nothing is hidden."""
SHORTEST_PATH = 28
"""Columns a path is cut to at most before a whole column is left out instead."""
MARK = {"error": "E", "warning": "W", "info": "i"}
"""The letter before a row that a finding names."""


@dataclass(frozen=True, slots=True)
class Column:
    """A heading, the text of a row under it, and how early the column goes when room is short (0 = never)."""

    title: str
    text: Callable[[LayerRow], str]
    is_text: bool = False
    leaves: int = 0
    legend: str = ""
    """What the heading means, for those who meet it first."""


def _signal(row: LayerRow) -> str:
    if row.signal_in is None and row.signal_out is None:
        return "-"
    return f"{numbers.number(row.signal_in)}→{numbers.number(row.signal_out)}"


def _flat_or_dead(row: LayerRow) -> str:
    if row.flat_share is None and row.dead_share is None:
        return "-"
    return f"{numbers.share(row.flat_share)}/{numbers.share(row.dead_share)}"


def _operation(row: LayerRow) -> str:
    return clean(row.name) + (f" x{row.calls}" if row.calls > 1 else "")


def _units(row: LayerRow) -> str:
    if row.units is None:
        return "-"
    return f"{row.units:,}" if row.distinct in (None, row.units) else f"{row.distinct:,} of {row.units:,}"


COLUMNS = (
    Column("layer", lambda row: clean(row.path).removesuffix(".weight"), is_text=True),
    Column("op", _operation, is_text=True, leaves=1),
    Column("shape", lambda row: numbers.shape(row.shape)),
    Column("units", _units, leaves=5, legend="how many units differ, of how many"),
    Column("fan in", lambda row: numbers.number(row.fan_in), leaves=2),
    Column("w std", lambda row: numbers.number(row.weight_std), legend="standard deviation of the weight"),
    Column("x law", lambda row: numbers.number(row.law_ratio), legend="w std over gain/sqrt(fan in), 1 = by the law"),
    Column("signal", _signal, legend="rms in→out"),
    Column(
        "varies",
        lambda row: numbers.share(row.batch_share),
        leaves=4,
        legend="share of the signal that differs between samples",
    ),
    Column("sat/dead", _flat_or_dead, legend="share of units saturated and dead behind the layer"),
    Column("grad/w", lambda row: numbers.number(row.gradient_to_weight), legend="rms gradient over rms weight"),
    Column(
        "feeds", lambda row: clean(row.consumer) or "-", is_text=True, leaves=3, legend="what reads the result first"
    ),
)
HEAD = (COLUMNS[0], COLUMNS[1], COLUMNS[2], COLUMNS[-1])
"""Columns that stand in the first line of a record."""


def layers(report: Report, width: int, paint: Paint, *, verbose: bool) -> list[str]:
    """Lines of the table by layer, empty when there is no layer; ``verbose`` shows every row."""
    if not report.layers:
        return []
    marks = severities(report)
    short = len(report.layers) if verbose else TABLE_ROWS if width >= WIDE else RECORDS
    shown = collapse(report.layers, marks, short=short)
    rows = [item for item in shown if isinstance(item, LayerRow)]
    columns = [column for column in COLUMNS if _says_something(column, rows)]
    if width >= WIDE:
        return _table(_fitting(columns, rows, width), shown, marks, width, paint)
    return _records(columns, shown, marks, width, paint)


def severities(report: Report) -> dict[int, str]:
    """Map the operation of each row that a finding names to the worst severity among them."""
    marks: dict[int, str] = {}
    for finding in sorted(report.findings, key=lambda finding: RANK[finding.severity]):
        for row in report.layers:
            is_named = any(row.path == place or row.path.startswith(place + ".") for place in finding.where if place)
            if is_named or finding.operation == row.operation:
                marks.setdefault(row.operation, finding.severity)
    return marks


def _says_something(column: Column, rows: Sequence[LayerRow]) -> bool:
    return any(column.text(row) != "-" for row in rows)


def _fitting(columns: list[Column], rows: Sequence[LayerRow], width: int) -> list[Column]:
    """Leave columns out, least telling first, until paths cut to SHORTEST_PATH fit."""
    while _natural(columns, rows, cap=SHORTEST_PATH) > width and any(column.leaves for column in columns):
        first = min((column for column in columns if column.leaves), key=lambda column: column.leaves)
        columns = [column for column in columns if column is not first]
    return columns


def _natural(columns: Sequence[Column], rows: Sequence[LayerRow], cap: int) -> int:
    widths = [_column_width(column, rows) for column in columns]
    return 2 + min(widths[0], cap) + sum(widths[1:]) + 2 * (len(widths) - 1)


def _column_width(column: Column, rows: Sequence[LayerRow], *, is_untitled: bool = False) -> int:
    return max([0 if is_untitled else cells(column.title), *(cells(column.text(row)) for row in rows)])


def _table(columns: list[Column], shown: Sequence[Shown], marks: dict[int, str], width: int, paint: Paint) -> list[str]:
    rows = [item for item in shown if isinstance(item, LayerRow)]
    widths = [_column_width(column, rows) for column in columns]
    widths[0] = min(widths[0], max(12, width - 2 * len(widths) - sum(widths[1:])))
    title = "  ".join(_cell(column, column.title, size) for column, size in zip(columns, widths, strict=True))
    lines = [paint("  " + title.rstrip(), "bold")]
    for item in shown:
        if isinstance(item, Gap):
            lines += [paint(line, "dim") for line in wrap(_gap(item, marks), width, "      ", first="  ")]
            continue
        texts = (_cell(column, column.text(item), size) for column, size in zip(columns, widths, strict=True))
        lines.append(_marked("  ".join(texts).rstrip(), item, marks, paint))
    left_out = [column.title for column in COLUMNS if column not in columns and _says_something(column, rows)]
    return lines + _legend(columns, left_out, width, paint)


def _legend(columns: Sequence[Column], left_out: Sequence[str], width: int, paint: Paint) -> list[str]:
    """What the headings shown mean, and which columns found no room."""
    told = [f"{column.title}: {column.legend}" for column in columns if column.legend]
    if left_out:
        told.append(f"left out at this width: {', '.join(left_out)}")
    return [paint(line, "dim") for line in wrap("; ".join(told), width, "  ")]


def _cell(column: Column, text: str, size: int) -> str:
    return pad(shorten(text, size), size, right=not column.is_text)


def _marked(line: str, row: LayerRow, marks: dict[int, str], paint: Paint) -> str:
    severity = marks.get(row.operation)
    return f"{paint(MARK[severity], severity)} {line}" if severity else "  " + line


def _records(
    columns: Sequence[Column], shown: Sequence[Shown], marks: dict[int, str], width: int, paint: Paint
) -> list[str]:
    lines: list[str] = []
    rows = [item for item in shown if isinstance(item, LayerRow)]
    facts = [(column, _column_width(column, rows, is_untitled=True)) for column in columns if column not in HEAD]
    for item in shown:
        if isinstance(item, Gap):
            lines += [paint(line, "dim") for line in wrap(_gap(item, marks), width, "      ", first="  ")]
            continue
        what = f"{_operation(item)} {numbers.shape(item.shape)}" + (f" → {item.consumer}" if item.consumer else "")
        head, *rest = flow([("", clean(item.path), "bold"), ("  ", clean(what), "")], width - 4, paint)
        lines += [_marked(head, item, marks, paint), *(f"    {line}" for line in rest)]
        lines += _facts([f"{column.title} {pad(column.text(item), size)}" for column, size in facts], width)
    return lines + _legend([column for column, _ in facts], (), width, paint)


def _facts(texts: Sequence[str], width: int) -> list[str]:
    """Lay ``texts`` out as a grid of at most ``width`` columns with lines as even as they can be."""
    for per_line in range(len(texts), 0, -1):
        rows = [texts[start : start + per_line] for start in range(0, len(texts), per_line)]
        sizes = [max(cells(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
        is_even = len(rows) * (per_line - 1) < len(texts)  # one fewer a line would not fit in as many lines
        if per_line == 1 or (is_even and 4 + sum(sizes) + 2 * (per_line - 1) <= width):
            lines = ["  ".join(pad(text, size) for text, size in zip(row, sizes, strict=False)) for row in rows]
            return [f"    {line.rstrip()}" for line in lines]
    return []


def _gap(gap: Gap, marks: dict[int, str]) -> str:
    """Say how many rows are hidden, how they differ and how many of them a finding names."""
    like = "layers like these" if gap.is_repetition else "layers (-v or --format json shows all)"
    ranges = [
        _range("x law", [row.law_ratio for row in gap.rows]),
        _range("signal out", [row.signal_out for row in gap.rows]),
        _range("grad/w", [row.gradient_to_weight for row in gap.rows]),
    ]
    for severity in RANK:
        num = sum(marks.get(row.operation) == severity for row in gap.rows)
        ranges.append(f"{num:,} named by {severity}s" if num else "")
    told = ", ".join(text for text in ranges if text)
    return f"... {len(gap.rows):,} more {like}" + (f": {told}" if told else "")


def _range(title: str, values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    if not known:
        return ""
    low, high = numbers.number(min(known)), numbers.number(max(known))
    return f"{title} {low}" if low == high else f"{title} {low} to {high}"
