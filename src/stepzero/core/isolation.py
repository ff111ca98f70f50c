"""What the isolation probe found: does one sample, or one position, reach what belongs to another?"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Leak:
    """Something that was left as it was, and whose results changed when something else was replaced."""

    change: float
    """Largest relative change of a result that should not have changed, 0 and up."""
    affected: int
    """Samples or positions whose results changed and should not have."""
    of: int
    """How many should not have."""
    operation: str = ""
    """Canonical name of the first operation whose result shows it."""
    kind: str = ""
    """Its kind, as in `Operation.kind`."""
    module: str = ""
    """Path of the module that ran it; '' is the model itself."""


@dataclass(frozen=True, slots=True)
class IsolationFact:
    """Result of the isolation probe, in evaluation mode; ``reason`` says why nothing could be shown."""

    ran: bool
    reason: str = ""
    samples: Leak | None = None
    """From one sample into others; None when none leaks."""
    is_deaf: bool = False
    """Whether a sample's own result stays as it is when the sample is replaced, though samples' results differ."""
    is_contrast: bool = False
    """Whether the output has one entry for every pair of samples: it compares them."""
    is_set: bool = False
    """Whether samples are rows of one table, which may be a set."""
    is_linked: bool = False
    """Whether another input has no axis of samples, and may say which of them belong together: edges, a mesh."""
    why_no_samples: str = "not looked at"
    """Why samples were not compared; empty when they were."""
    claim: str = ""
    """The input of which the loss asks for the next token at every position; empty when it asks for none."""
    future: Leak | None = None
    """From positions of that input into results at earlier ones."""


NO_ISOLATION = IsolationFact(ran=False)
"""The probe was not asked for."""
