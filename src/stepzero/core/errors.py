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

import difflib
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
    """Return ``; did you mean 'x'?`` for the nearest known word, or an empty string."""
    match = difflib.get_close_matches(word, list(known), n=1, cutoff=0.5)
    return f"; did you mean {match[0]!r}?" if match else ""
