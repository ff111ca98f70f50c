"""A baseline: what was wrong when somebody began to watch, so that only what is new counts."""

from dataclasses import dataclass, field

from stepzero.core.finding import Severity

FACTOR = 2.0
"""How many times worse a number must be to count as new: more than what seeds and versions of torch do to it."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One code at one place."""

    code: str
    place: str
    """Path of the module or parameter, '' for the model itself."""
    severity: Severity
    value: float | None = None
    """Two significant digits of the number of the finding: no key, only what must not get worse by `FACTOR`."""
    is_low_bad: bool = False
    """Whether a smaller number is worse."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """Entries by code and place; `name` is that of the file and not part of it."""

    entries: tuple[Entry, ...] = ()
    factor: float = FACTOR
    name: str = field(default="baseline")
    schema: int = 1
