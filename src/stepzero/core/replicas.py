"""What the ranks of a data-parallel run said of their copies of the model."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ReplicasFact:
    """Whether what every rank holds in full is the same on all of them; ``reason`` says why that is not known."""

    ran: bool
    reason: str = ""
    ranks: int = 0
    compared: int = 0
    """Parameters compared."""
    diverged: tuple[str, ...] = ()
    """Parameters whose bits differ between ranks."""
    lonely: tuple[str, ...] = ()
    """Parameters that some rank does not have, or has in another shape or dtype."""


NO_REPLICAS = ReplicasFact(ran=False)
"""The model is not replicated, or the probe was not asked for."""
