"""A Finding: one thing a rule has to say, as data."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

Severity: TypeAlias = Literal["error", "warning", "info"]

RANK: dict[str, int] = {"error": 0, "warning": 1, "info": 2}
"""Order of severities, worst first."""


def lowered(severity: Severity) -> Severity:
    """One severity quieter; a note stays a note."""
    return "warning" if severity == "error" else "info"


@dataclass(frozen=True, slots=True)
class Fix:
    """A remedy as data; ``is_safe`` only when it redraws values made by this very initialisation."""

    title: str
    parameter: str = ""
    scheme: str = ""
    arguments: dict[str, float] = field(default_factory=dict)
    is_safe: bool = False


@dataclass(frozen=True, slots=True)
class Finding:
    """One sentence with its number, its limit, its place and its evidence.

    ``where`` holds parameter or module paths as ``named_parameters()`` and ``named_modules()`` give them;
    '' is the model itself.
    ``root`` is the ``id`` of the finding that explains this one, or None for a root cause.
    """

    code: str
    name: str
    severity: Severity
    where: tuple[str, ...]
    message: str
    value: float | None = None
    limit: float | None = None
    unit: str = ""
    evidence: Literal["value", "gradient", "wake-up", "control", "fact"] = "fact"
    cause: str = ""
    """Cause word of the catalogue (``never-written``, ``constant-fill``...); empty when unknown."""
    source_line: str | None = None
    fix: Fix | None = None
    citation: str = ""
    operation: int | None = None
    """Index of the operation the finding sits at, when it sits at one."""
    root: str | None = None

    @property
    def id(self) -> str:
        """Code and place: the same on every run, whatever the number."""
        return f"{self.code}:{','.join(self.where)}"
