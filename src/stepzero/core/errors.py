"""What can go wrong before there is a verdict.

    StepzeroError
    ├── TargetError        the target does not import, build or run            exit 2
    │   ├── BatchError     the batch is missing, empty or of no known form     exit 2
    │   └── LossError      the loss is unknown, not scalar or not computable   exit 2
    ├── ConfigError        a flag, a code or a configuration key is wrong      exit 2
    └── IncompleteError    nothing could be checked                            exit 3

Each carries one line: what was expected, what came, what to do. An exception that the user's own code raised is
never wrapped: it comes back as it is, with a note that names the layer it died in.
"""

import itertools
from collections.abc import Iterable


class StepzeroError(ValueError):
    """Base of every error stepzero raises on purpose."""

    exit_code = 2


class TargetError(StepzeroError):
    """The target does not import, build or run."""


class BatchError(TargetError):
    """The batch is missing, empty or of no known form."""


class LossError(TargetError):
    """The loss is unknown, not a scalar, or cannot be computed from the output."""


class ConfigError(StepzeroError):
    """A flag, a rule code or a configuration key is wrong."""


class IncompleteError(StepzeroError):
    """Nothing could be checked; never to be read as 'all good'."""

    exit_code = 3


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return ``; did you mean 'x'?`` for the nearest known word, or an empty string when none is close.

    Close: one slip of the finger in three letters, or ``word`` is how the known one begins. Capitals
    are no slips.
    """
    best = min(
        ((*_farness(word.lower(), other.lower()), place, other) for place, other in enumerate(known)), default=None
    )
    return f"; did you mean {best[-1]!r}?" if best is not None and best[0] < _FAR else ""


_FAR = 100
_STEM = 3
"""Letters from which on a beginning says what was meant."""


def _farness(word: str, other: str) -> tuple[int, int]:
    """Number of slips between two words (_FAR when too many), then how little of their beginnings agrees."""
    allowed = max(1, len(word) // 3)
    slips = _slips(word, other) if abs(len(word) - len(other)) <= allowed else _FAR
    if slips > allowed:
        slips = allowed + 1 if len(word) >= _STEM and other.startswith(word) else _FAR
    same = itertools.takewhile(lambda pair: pair[0] == pair[1], zip(word, other, strict=False))
    return slips, -len(list(same))


def _slips(word: str, other: str) -> int:
    """Letters missing, added, replaced or swapped with their neighbour (restricted Damerau-Levenshtein distance)."""
    before, last = list[int](), list(range(len(other) + 1))
    for i, letter in enumerate(word, 1):
        row = [i]
        for j, target in enumerate(other, 1):
            least = min(last[j] + 1, row[-1] + 1, last[j - 1] + (letter != target))
            is_swap = i > 1 and j > 1 and letter == other[j - 2] and word[i - 2] == target
            row.append(min(least, before[j - 2] + 1) if is_swap else least)
        before, last = last, row
    return last[-1]
