"""The gain of an activation: 1 / sqrt(E phi(z)^2), z ~ N(0, 1), by quadrature.

Second moment, not variance: the next layer sees the sum of w^2 x^2. With weights of standard deviation
gain / sqrt(fan in), a signal of unit second moment keeps it (He et al. 2015, for any phi).
"""

import functools
import math

import torch
import torch.nn.functional as F

_REACH, _PANELS = 12.0, 24_000


@functools.lru_cache(maxsize=128)
def gain_of(name: str) -> float | None:
    """Gain of a torch activation by its canonical name; None when it has none (no such function, or it needs more).

    The midpoint rule on +-12. Kinks and jumps of named activations lie between two panels, never on a node (a jump on
    a node counts half a panel too much): relative error below 1e-6.
    """
    phi = getattr(F, name, None) or getattr(torch, name, None)
    if phi is None:
        return None
    step = 2 * _REACH / _PANELS
    z = (torch.arange(_PANELS, dtype=torch.float64) + 0.5) * step - _REACH
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    try:
        moment = float((phi(z).square() * density).sum()) * step
    except (RuntimeError, TypeError):
        return None
    return 1 / math.sqrt(moment) if moment > 0 and math.isfinite(moment) else None
