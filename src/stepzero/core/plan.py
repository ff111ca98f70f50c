"""The Plan: what was written to every parameter and buffer, by which law, and why. Frozen data, JSON round trip."""

import importlib
from dataclasses import dataclass, field

from stepzero.core import serial

ACTIONS = ("drawn", "set", "kept", "skipped")
"""drawn: filled from a law with a seed | set: filled with a stated value | kept: left as it is, for the reason given |
skipped: not understood, and left as it is."""
HEADER = '"""A start for '
"""How every file begins that a Plan was written to: what begins otherwise is somebody else's."""


@dataclass(frozen=True, slots=True)
class FanFact:
    """True fans of one parameter and where they come from."""

    name: str
    fan_in: float
    """Mean number of weight x input terms summed into one output entry."""
    fan_out: float | None
    """Mean number of output entries that one input entry reaches."""
    blocks: int = 1
    """Equal slices packed along the first axis; the fans are those of one."""
    source: str = ""
    """The operation or the module that says so."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One parameter or buffer, which is named in exactly one entry."""

    name: str
    action: str
    role: str = ""
    """weight | recurrent | branch end | head | table | operand | bias | gain | shift | buffer."""
    why: str = ""
    scheme: str = ""
    """Name of the scheme (`stepzero.schemes`), for what was drawn."""
    source: str = ""
    fan_in: float | None = None
    fan_out: float | None = None
    gain: float | None = None
    std: float | None = None
    """Standard deviation the law asks for."""
    value: float | None = None
    """The constant of a ``set`` entry; None where it varies along the tensor."""
    values: tuple[tuple[int, int, float], ...] = ()
    """(start, stop, value) of slices along axis 0 that are set to something else: a forget gate, a padding row."""
    blocks: int = 1
    """Equal slices along axis 0 that are drawn each from a stream of its own: gates, q, k and v."""
    seed_key: str = ""
    """Name that the random stream is derived from."""
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Scaling:
    """One weight multiplied by a factor after its draw, so that its output has the scale it should have."""

    name: str
    factor: float
    target: float
    """Standard deviation the output was to have."""
    before: float
    """Standard deviation it had."""
    after: float | None = None
    """What the verifying pass measured; None when it was not run."""
    uses: int = 1
    why: str = ""


@dataclass(frozen=True, slots=True)
class Plan:
    """Everything `init_` or `fix_` did, or would do."""

    model: str
    seed: int
    scheme: str = "auto"
    entries: tuple[Entry, ...] = ()
    scalings: tuple[Scaling, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    """(weight, reason) of weights that were not calibrated."""
    forwards: int = 0
    """Forward passes that calibration took, with the verifying one."""
    notes: tuple[str, ...] = ()
    before: tuple[str, ...] = ()
    """Fixes: errors and warnings that were found, as ``CODE place``."""
    after: tuple[str, ...] = ()
    """Fixes: those of the check that was made afterwards."""
    is_dry_run: bool = False
    versions: dict[str, str] = field(default_factory=dict)

    def to_json(self, *, indent: int = 2) -> str:
        """Serialise; `from_json` reads it back."""
        return serial.dump(self, indent=indent)

    def to_text(self, width: int = 100) -> str:
        """Render as plain text of at most ``width`` columns."""
        return str(importlib.import_module("stepzero.report.plan").render(self, width=width))  # looked up, not known

    def __str__(self) -> str:
        return self.to_text()

    @classmethod
    def from_json(cls, text: str | bytes) -> "Plan":
        """Read what `to_json` wrote.

        Raises:
            ValueError: the text is no Plan; the message says where.
        """
        return serial.load(text, cls, "plan")

    def entry(self, name: str) -> Entry:
        """The entry of one parameter or buffer, by any of its names.

        Raises:
            KeyError: no such parameter.
        """
        for entry in self.entries:
            if name == entry.name or name in entry.aliases:
                return entry
        raise KeyError(name)

    def written(self) -> tuple[str, ...]:
        """Names of what was given new values."""
        return tuple(entry.name for entry in self.entries if entry.action in ("drawn", "set"))
