"""The gain of an activation: 1 / sqrt(E phi(z)^2), z ~ N(0, 1), by quadrature.

Second moment, not variance: the next layer sees the sum of w^2 x^2. With weights of standard deviation
gain / sqrt(fan in), a signal of unit second moment keeps it (He et al. 2015, for any phi).
"""

import functools
import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F

from stepzero.core.trace import Attribute

_REACH, _PANELS = 12.0, 24_000


_SETTINGS: dict[str, tuple[str, ...]] = {
    **dict.fromkeys("abs cos erf hardsigmoid hardswish logsigmoid mish relu relu6 selu sigmoid silu sin".split(), ()),
    **dict.fromkeys(["softsign", "tanh", "tanhshrink"], ()),
    **dict.fromkeys(["celu", "elu"], ("alpha",)),
    **dict.fromkeys(["hardshrink", "softshrink"], ("lambd",)),
    "gelu": ("approximate",),
    "hardtanh": ("min", "max"),
    "leaky_relu": ("negative_slope",),
    "rrelu": ("lower", "upper"),
    "softplus": ("beta", "threshold"),
    "threshold": ("threshold", "value"),
}
"""Elementwise activations and the settings of a call that change what they are."""
_KEYWORDS = {"min": "min_val", "max": "max_val"}


def gain_of(name: str, attributes: Mapping[str, Attribute] | None = None) -> float | None:
    """Gain of an elementwise activation of torch by its canonical name and the settings it was called with.

    None for everything else: what is not elementwise has no such number, and learned slopes need their tensor.
    """
    if name not in _SETTINGS:
        return None
    given = attributes or {}
    return _gain(name, tuple((key, given[key]) for key in _SETTINGS[name] if given.get(key) is not None))


@functools.lru_cache(maxsize=128)
def _gain(name: str, settings: tuple[tuple[str, Attribute], ...]) -> float | None:
    """The midpoint rule on +-12.

    Kinks and jumps that torch sets by itself lie between two panels, never on a node (a jump on a node counts half a
    panel too much): relative error below 1e-6; with a jump set by the caller below 1e-3.
    """
    phi = getattr(F, name, None) or getattr(torch, name)
    step = 2 * _REACH / _PANELS
    z = (torch.arange(_PANELS, dtype=torch.float64) + 0.5) * step - _REACH
    density = torch.exp(-z * z / 2) / math.sqrt(2 * math.pi)
    try:
        response = phi(z, **{_KEYWORDS.get(key, key): value for key, value in settings})
    except (RuntimeError, TypeError, ValueError):
        return None
    moment = float((response.square() * density).sum()) * step
    return 1 / math.sqrt(moment) if moment > 0 and math.isfinite(moment) else None
