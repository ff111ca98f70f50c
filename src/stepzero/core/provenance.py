"""Where the values of a model come from: memory nobody wrote, writes that were lost, and who wrote what last."""

from dataclasses import dataclass
from typing import Literal, TypeAlias


@dataclass(frozen=True, slots=True)
class Unwritten:
    """A tensor that still held the probe's filling after the model was built (poison probe)."""

    name: str
    kind: str
    numel: int
    num_unwritten: int


@dataclass(frozen=True, slots=True)
class LostWrite:
    """Writes of the factory into a weight that the next forward computes anew from raw tensors."""

    name: str
    """The weight as the code addresses it: ``conv.weight``."""
    raw: tuple[str, ...]
    """The parameters it is computed from."""
    count: int


@dataclass(frozen=True, slots=True)
class PoisonFact:
    """What building the model in marked memory showed; ``reason`` says why nothing could be shown."""

    ran: bool
    reason: str = ""
    unwritten: tuple[Unwritten, ...] = ()
    unrepeatable: tuple[str, ...] = ()
    """Parameters and buffers that two builds with one seed filled differently, whatever the marks."""


Written: TypeAlias = Literal["draw", "zeros", "ones", "constant", "values", "loaded", "change"]
"""What a write left behind: random numbers; a fill; numbers computed elsewhere; those of a state dict; what was there
before, changed."""


@dataclass(frozen=True, slots=True)
class Write:
    """One write of the factory into a parameter."""

    kind: Written
    writer: str
    """Function that wrote, by its qualified name; helpers that only passed the tensor on are left out."""
    source_line: str
    """``path:line`` in that function."""
    is_whole: bool = True
    """False where it reached a slice of the tensor."""
    is_torch: bool = False
    """Whether the function is one of torch's own modules'."""


@dataclass(frozen=True, slots=True)
class ParameterWrites:
    """The writes into one parameter, in order."""

    parameter: str
    writes: tuple[Write, ...]


@dataclass(frozen=True, slots=True)
class WriteRecord:
    """In-place writes while the factory ran; a parameter made from finished values has none."""

    ran: bool = False
    """False when stepzero did not call a factory."""
    parameters: tuple[ParameterWrites, ...] = ()


NOT_WATCHED = WriteRecord()
NO_POISON = PoisonFact(ran=False, reason="not requested")
"""The probe was not asked for."""
