"""What a study is: a question, runs that answer it, and an answer that is plain data."""

import json
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from stepzero.lab.figure import Figure
from stepzero.lab.grid import Grid
from stepzero.lab.running import Result

Effort = Literal["short", "full"]
Train = Callable[[Grid], Result]
"""Trains a grid in the caller's store, with the caller's engine."""


@dataclass(frozen=True)
class Table:
    """Rows of cells under a head."""

    head: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]

    def markdown(self) -> str:
        """As a Markdown table."""
        lines = [self.head, ["---"] * len(self.head), *self.rows]
        return "\n".join("| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines)


@dataclass(frozen=True)
class Answer:
    """What a study found: settings, tables, figures and the numbers its text quotes."""

    study: str
    effort: str
    settings: Mapping[str, Any]
    tables: Mapping[str, Table]
    facts: Mapping[str, Any]
    figures: Mapping[str, Figure] = field(default_factory=dict)

    def to_json(self) -> str:
        """All but the figures, which are files of their own."""
        values = {key: value for key, value in asdict(self).items() if key != "figures"}
        return json.dumps(values, indent=1) + "\n"

    @classmethod
    def parse(cls, text: str) -> "Answer":
        """What `to_json` wrote."""
        values = json.loads(text)
        tables = {
            name: Table(tuple(each["head"]), tuple(tuple(row) for row in each["rows"]))
            for name, each in values.pop("tables").items()
        }
        return cls(tables=tables, **values)


@dataclass(frozen=True)
class Study:
    """One question."""

    name: str
    title: str
    run: Callable[[Effort, Train], Answer]
    page: Callable[[Answer], str]
    """Markdown page from an answer: every number in it comes from there."""


def paragraphs(*parts: str) -> str:
    """Parts of a page, an empty line between."""
    return "\n\n".join(part.strip() for part in parts) + "\n"


def reference(rows: Sequence[Mapping[str, Any]], **wanted: Any) -> Mapping[str, Any]:
    """The one row with these values."""
    (found,) = [row for row in rows if all(row[key] == value for key, value in wanted.items())]
    return found


def rank_correlation(xs: Sequence[float], ys: Sequence[float]) -> float:
    """Spearman's, from -1 to 1; ties take their mean rank."""

    def ranks(values: Sequence[float]) -> list[float]:
        return [statistics.fmean([place for place, other in enumerate(sorted(values)) if other == v]) for v in values]

    return statistics.correlation(ranks(xs), ranks(ys))


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return f"{value:.3g}" if isinstance(value, float) else str(value)
