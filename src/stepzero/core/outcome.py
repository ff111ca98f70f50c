"""The outcome of a check: a Report."""

import importlib
from dataclasses import dataclass, field
from typing import Any

from stepzero.core import serial
from stepzero.core.finding import RANK, Finding, Severity
from stepzero.core.spread import Spread
from stepzero.core.suppression import Suppressed

_GATES = {"error": RANK["error"], "warning": RANK["warning"], "never": -1}
"""What ``--fail-on`` takes: the mildest rank that still fails."""


@dataclass(frozen=True, slots=True)
class LayerRow:
    """One weighted operation in the table by layer."""

    operation: int
    path: str
    """Parameter path of its weight."""
    name: str
    """Operation: linear, conv2d, embedding..."""
    shape: tuple[int, ...]
    fan_in: float | None
    units: int | None
    weight_std: float | None
    law_ratio: float | None
    """Standard deviation of the weight over gain(consumer) / sqrt(fan in)."""
    consumer: str
    signal_in: float | None
    signal_out: float | None
    batch_share: float | None
    flat_share: float | None
    """Share of units of the following activation that are saturated."""
    dead_share: float | None
    gradient_to_weight: float | None
    """rms of the gradient over rms of the weight."""
    calls: int = 1
    distinct: int | None = None
    """Units that differ from all others: effective width times ``units``; None when copies were not looked for."""
    wakes: int | None = None
    """Virtual step at which a gradient first reaches the weight, 0 for the start; None when never, or not known."""


@dataclass(frozen=True, slots=True)
class NotChecked:
    """Something that was not judged, and why."""

    what: str
    why: str


@dataclass(frozen=True, slots=True)
class Accepted:
    """Something that looks like a fault and is meant: which idiom it is, and the evidence that it does no harm."""

    idiom: str
    """identity branch | low-rank adapter | zero head | zero token | uniform attention | zero offsets | even gate |
    stored offset | prior bias | gate bias | tied weights | frozen copy | padding row."""
    where: tuple[str, ...]
    """Parameter paths; several when the idiom holds them together (tied weights)."""
    why: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """What was checked and what was not."""

    weighted_checked: int = 0
    weighted_total: int = 0
    parameters_checked: int = 0
    parameters_total: int = 0
    rules_run: tuple[str, ...] = ()
    not_judged: tuple[NotChecked, ...] = ()
    skipped: tuple[NotChecked, ...] = ()
    accepted: tuple[Accepted, ...] = ()
    """Idioms: silent because they are meant, and because their effect was measured."""
    incomplete: tuple[NotChecked, ...] = ()
    """Reasons why this report must not be read as 'all good': exit code 3."""


@dataclass(frozen=True)
class Report:
    """What `stepzero.check` returns."""

    model: str
    findings: tuple[Finding, ...]
    layers: tuple[LayerRow, ...]
    coverage: Coverage
    loss: float | None = None
    loss_note: str = ""
    conditions: tuple[str, ...] = ()
    seed: int = 0
    num_parameters: int = 0
    is_unchanged: bool = True
    versions: dict[str, str] = field(default_factory=dict)
    schema: int = 1
    suppressed: tuple[Suppressed, ...] = ()
    """Findings that do not count, and why; none of them is in ``findings``."""
    seeds: tuple[int, ...] = ()
    """Seeds of the factory that were tried, the one of this report first; empty for one alone."""
    spread: tuple[Spread, ...] = ()
    """What each finding did over the seeds."""

    @property
    def errors(self) -> tuple[Finding, ...]:
        """Findings of severity error, consequences included."""
        return self._of("error")

    @property
    def warnings(self) -> tuple[Finding, ...]:
        """Findings of severity warning, consequences included."""
        return self._of("warning")

    @property
    def notes(self) -> tuple[Finding, ...]:
        """Findings of severity info, consequences included."""
        return self._of("info")

    @property
    def root_causes(self) -> tuple[Finding, ...]:
        """Findings that no other finding explains, worst first."""
        return tuple(finding for finding in self.findings if finding.root is None)

    @property
    def is_complete(self) -> bool:
        """False when nothing was checked, weights were unreadable, a rule crashed or time ran out."""
        return not self.coverage.incomplete

    def consequences(self, finding: Finding) -> tuple[Finding, ...]:
        """Findings that hang under ``finding``."""
        cause = finding.id
        return tuple(other for other in self.findings if other.root == cause)

    def ok(self, fail_on: Severity = "error") -> bool:
        """Whether no root cause is at or above ``fail_on`` and the check was complete."""
        if fail_on not in RANK:
            raise ValueError(f"fail_on: expected 'error', 'warning' or 'info', got {fail_on!r}")
        loud = any(RANK[finding.severity] <= RANK[fail_on] for finding in self.root_causes)
        return not loud and self.is_complete

    def exit_code(self, fail_on: str = "error") -> int:
        """0 nothing at or above ``fail_on``, 1 findings, 3 incomplete: wins over 0, never over 1. Notes never count."""
        if fail_on not in _GATES:
            raise ValueError(f"fail_on: expected 'error', 'warning' or 'never', got {fail_on!r}")
        if any(RANK[finding.severity] <= _GATES[fail_on] for finding in self.root_causes):
            return 1
        return 0 if self.is_complete else 3

    def to_json(self, *, indent: int = 2) -> str:
        """Serialise; non-finite numbers become the strings 'nan', 'inf', '-inf', so that the output is pure JSON."""
        return serial.dump(self, indent=indent)

    @classmethod
    def from_json(cls, text: str | bytes) -> "Report":
        """Read back what `to_json` wrote; raises `ValueError` with the place when the text is not a report."""
        return serial.load(text, cls, "report")

    def to_text(self, width: int = 100) -> str:
        """Render as plain text of at most ``width`` columns."""
        return str(_renderer("text").render(self, width=width))

    def to_html(self) -> str:
        """Render as one page that needs nothing else: no font, script or picture from elsewhere."""
        return str(_renderer("html").render(self))

    def to_sarif(self) -> str:
        """Render as SARIF 2.1.0, with paths relative to the working directory."""
        return str(_renderer("sarif").render(self))

    def __str__(self) -> str:
        return self.to_text()

    def _repr_html_(self) -> str:
        return str(_renderer("html").fragment(self))

    def _of(self, severity: Severity) -> tuple[Finding, ...]:
        return tuple(finding for finding in self.findings if finding.severity == severity)


def _renderer(name: str) -> Any:
    """Look a renderer up by name at call time: core knows that renderers exist, not which."""
    return importlib.import_module(f"stepzero.report.{name}")
