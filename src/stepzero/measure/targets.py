"""What each loss aims at, and where the output stands: the numbers that rules about heads and targets share."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from stepzero.core.trace import Operation, Trace
from stepzero.measure.heads import head_of

_REGRESSIONS = frozenset(["mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss"])
_BINARY = frozenset(["binary_cross_entropy", "binary_cross_entropy_with_logits"])


@dataclass(frozen=True, slots=True)
class Aim:
    """One loss that compares numbers: range, mean and standard deviation of its target, mean and spread of the output.

    The range is exact; means and spreads come from a sample of at most a few thousand numbers.
    """

    loss: Operation
    low: float
    high: float
    mean: float
    std: float
    output_mean: float
    output_std: float
    samples: int
    """Batch entries that the target has."""

    @property
    def is_share(self) -> bool:
        """Whether the target lies in [0, 1]: probabilities, masks, pictures."""
        return self.low >= 0.0 and self.high <= 1.0


def regressions(trace: Trace) -> Iterator[Aim]:
    """Losses on the distance between output and target, in execution order."""
    return _aims(trace, _REGRESSIONS)


def binaries(trace: Trace) -> Iterator[Aim]:
    """Binary cross entropies, in execution order."""
    return _aims(trace, _BINARY)


def place(trace: Trace, loss: Operation) -> tuple[str, ...]:
    """The weight that the loss reads, else the module that ran the loss ('' is the whole model)."""
    head = head_of(trace, loss)
    return (head.use.parameter,) if head is not None else (loss.module,)


def _aims(trace: Trace, names: frozenset[str]) -> Iterator[Aim]:
    for operation in trace.operations:
        numbers = [operation.attributes.get(key) for key in _KEYS] if operation.name in names else []
        found = [number for number in numbers if isinstance(number, float) and math.isfinite(number)]
        if len(found) == len(_KEYS):
            low, high, mean, std, output_mean, output_std = found
            yield Aim(operation, low, high, mean, std, output_mean, output_std, trace.batch_size or 1)


_KEYS = ("target_low", "target_high", "target_mean", "target_std", "output_mean", "output_std")
