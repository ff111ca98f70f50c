"""The gain of an activation: 1 / sqrt(E phi(z)^2), z ~ N(0, 1), by quadrature.

Second moment, not variance: the next layer sees the sum of w^2 x^2. With weights of standard deviation
gain / sqrt(fan in), a signal of unit second moment keeps it (He et al. 2015, for any phi).
"""

import functools
import math

import torch
import torch.nn.functional as F

_REACH, _POINTS = 12.0, 24_001


@functools.lru_cache(maxsize=128)
def gain_of(name: str) -> float | None:
    """Gain of a torch activation by its canonical name; 1 for anything linear; None when it has no gain.

    The trapezoid rule on +-12 with the kinks of named activations on its nodes: relative error below 1e-6.
    """
    phi = getattr(F, name, None) or getattr(torch, name, None)
    if phi is None:
        return None
    z = torch.linspace(-_REACH, _REACH, _POINTS, dtype=torch.float64)
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    try:
        moment = float(torch.trapezoid(phi(z).square() * density, z))
    except (RuntimeError, TypeError):
        return None
    return 1 / math.sqrt(moment) if moment > 0 and math.isfinite(moment) else None
