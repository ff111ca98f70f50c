"""What building a model again showed about its memory: what nobody wrote, and what was written in vain."""

from dataclasses import dataclass


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
