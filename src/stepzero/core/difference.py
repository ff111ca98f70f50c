"""Two reports compared."""

from dataclasses import dataclass

from stepzero.core import serial
from stepzero.core.finding import RANK, Finding


@dataclass(frozen=True, slots=True)
class Changed:
    """One finding in both reports, whose severity, number or places differ."""

    before: Finding
    after: Finding

    @property
    def is_louder(self) -> bool:
        """Whether it got more severe."""
        return RANK[self.after.severity] < RANK[self.before.severity]


@dataclass(frozen=True, slots=True)
class Moved:
    """One number of one layer that is another one now."""

    path: str
    quantity: str
    before: float | None
    after: float | None


@dataclass(frozen=True, slots=True)
class Difference:
    """What is new, gone and changed from one report to the other."""

    before: str
    """Name of the model of the first report."""
    after: str
    new: tuple[Finding, ...] = ()
    gone: tuple[Finding, ...] = ()
    changed: tuple[Changed, ...] = ()
    moved: tuple[Moved, ...] = ()
    layers_new: tuple[str, ...] = ()
    layers_gone: tuple[str, ...] = ()
    incomplete: tuple[str, ...] = ()
    """Why one of the reports is no verdict."""
    schema: int = 1

    @property
    def is_empty(self) -> bool:
        """Whether the two say the same."""
        return not (self.new or self.gone or self.changed or self.moved or self.layers_new or self.layers_gone)

    def exit_code(self, fail_on: str = "error") -> int:
        """1 when a root cause that is new or louder is at or above ``fail_on``, else 3 when incomplete, else 0."""
        gates = {"error": RANK["error"], "warning": RANK["warning"], "never": -1}
        worse = [*self.new, *(change.after for change in self.changed if change.is_louder)]
        if any(finding.root is None and RANK[finding.severity] <= gates[fail_on] for finding in worse):
            return 1
        return 3 if self.incomplete else 0

    def to_json(self, *, indent: int = 2) -> str:
        """Serialise, in the manner of `Report.to_json`."""
        return serial.dump(self, indent=indent)
