"""What became of values that were loaded: the model beside the state it should hold."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Replaced:
    """A parameter or buffer that does not hold what the reference holds under its name."""

    name: str
    numel: int
    """Numbers compared."""
    num_other: int
    """How many of them differ."""
    distance: float
    """Rms of the difference over that of the reference; infinite where that is zero."""


@dataclass(frozen=True, slots=True)
class ReferenceFact:
    """The comparison with a reference state; ``reason`` says why there is none."""

    ran: bool
    reason: str = ""
    compared: int = 0
    """Parameters and buffers compared."""
    replaced: tuple[Replaced, ...] = ()
    skipped: tuple[tuple[str, str], ...] = ()
    """(name, why) of what has a counterpart and could not be compared."""


NO_REFERENCE = ReferenceFact(ran=False)
"""No reference was given."""
