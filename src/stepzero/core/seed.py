"""The seed of every draw, as users give it."""

import operator
from typing import Any

from stepzero.core.errors import ConfigError

_BITS = 64


def checked_seed(seed: Any) -> int:
    """The seed as a Python integer, also from numpy's and torch's.

    Raises:
        ConfigError: it is no whole number from 0 to 2^64 - 1, which is what torch's generators take.
    """
    try:
        number = operator.index(seed)
    except TypeError:
        number = -1
    if isinstance(seed, bool) or not 0 <= number < 2**_BITS:
        raise ConfigError(f"seed: expected a whole number from 0 to 2**{_BITS} - 1, got {seed!r}")
    return number
