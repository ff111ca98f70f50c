"""How far out may the largest of n numbers lie by chance?"""

import math
from statistics import NormalDist
from typing import NamedTuple

from stepzero.core.trace import TensorFact

_MAD_ERROR = 1.1664
"""Relative standard error of 1.4826 x median absolute deviation is this over sqrt(sample) for a Gaussian law."""
_READ = 1024
"""At most so many elements stand behind a `TensorFact.spread`."""


def reach(numel: int, false_call: float) -> float:
    """Z with ``numel * P(abs(Z) > z) = false_call``, Z ~ N(0, 1): 7.1 for a million elements and 1e-6."""
    return -NormalDist().inv_cdf(false_call / numel / 2)


def sure_reach(numel: int, false_call: float, errors: float) -> float:
    """`reach` against an *estimated* spread: widened by ``errors`` standard errors of it; inf when nothing is left."""
    share = errors * _MAD_ERROR / math.sqrt(min(numel, _READ))
    return reach(numel, false_call) / (1 - share) if share < 1 else math.inf


class Far(NamedTuple):
    """The element of a tensor that lies furthest from the mean."""

    value: float
    deviations: float
    """Distance over the robust spread; infinite when more than half of the elements are equal."""
    share: float
    """Estimate of the share of elements that lie as far, from the second moment that the spread does not explain."""


def farthest(fact: TensorFact) -> Far:
    """Read the farthest element off the exact extremes and the sampled moments."""
    value = max(fact.low, fact.high, key=lambda end: abs(end - fact.mean))
    distance = abs(value - fact.mean)
    if distance == 0.0 or fact.spread <= 0.0:
        return Far(value, math.inf if distance else 0.0, 1.0)
    share = max(0.0, fact.std**2 - fact.spread**2) / distance**2
    return Far(value, distance / fact.spread, share)
