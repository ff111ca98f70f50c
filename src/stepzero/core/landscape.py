"""What the loss looks like around the start: after one step, in its steepest direction, from sample to sample."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StepFact:
    """One step of the user's own optimizer on a copy; ``reason`` says why it was not taken."""

    ran: bool
    reason: str = ""
    optimizer: str = ""
    lr: float = 0.0
    before: float = 0.0
    """The loss before, on the same batch and with the same random numbers."""
    after: float = 0.0
    alone: tuple[tuple[str, float], ...] = ()
    """(parameter, loss after its own step alone), highest first; only where the loss rose."""


@dataclass(frozen=True, slots=True)
class SharpnessFact:
    """The largest eigenvalue of the Hessian, each parameter times its own learning rate; a step overshoots above 2."""

    ran: bool
    reason: str = ""
    value: float = 0.0
    """Learning rate x curvature, dimensionless."""
    optimizer: str = ""
    parameters: tuple[tuple[str, float], ...] = ()
    """(parameter, share of the eigenvector's square), largest first, those above a tenth."""


@dataclass(frozen=True, slots=True)
class Spectrum:
    """Eigenvalues of the tangent kernel of one start over n samples, as two numbers."""

    decades: float
    """log10 of the largest over the middle one, 0 and up; infinite where the middle one is rounding."""
    rank: float
    """Entropy rank, 1 to n."""


@dataclass(frozen=True, slots=True)
class KernelFact:
    """The empirical tangent kernel at the start, and for draws by law."""

    ran: bool
    reason: str = ""
    samples: int = 0
    own: Spectrum = Spectrum(0.0, 0.0)
    drawn: tuple[Spectrum, ...] = ()


NO_STEP = StepFact(ran=False)
NO_SHARPNESS = SharpnessFact(ran=False)
NO_KERNEL = KernelFact(ran=False)
"""The probes were not asked for, or had no reason to run."""
