"""Gains of activations: in = 1 / sqrt(E phi(z)^2), out = 1 / sqrt(E phi'(z)^2), by quadrature.

Second moment, not variance: the next layer sees the sum of w^2 x^2. With weights of standard deviation
gain / sqrt(fan in), a signal of unit second moment keeps it (He et al. 2015, for any phi). The gain of the forward pass
belongs to the activation that feeds the layer, that of the backward pass to the one that follows.
"""

import functools
import math
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepzero.core.errors import did_you_mean
from stepzero.core.trace import Attribute
from stepzero.measure.elementwise import Activation, as_function, check_elementwise, derivative, described, is_gain
from stepzero.measure.quadrature import REACH, expectation

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
_TORCH = {"identity": 1.0, "linear": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 3 / 4}
"""What `torch.nn.init.calculate_gain` answers; its leaky ReLU is exact."""


def gain_of(name: str, attributes: Mapping[str, Attribute] | None = None) -> float | None:
    """Forward gain of an elementwise activation of torch by its canonical name and the settings it was called with.

    None for everything else: what is not elementwise has no such number, and learned slopes need their tensor.
    """
    return _gain(name, _settings(name, attributes or {})) if name in _SETTINGS else None


def function_of(name: str, attributes: Mapping[str, Attribute] | None = None) -> Callable[[Tensor], Tensor] | None:
    """The activation that `gain_of` tells the gain of, as a function of any tensor; None where that knows none."""
    return _with(name, _settings(name, attributes or {})) if name in _SETTINGS else None


def _settings(name: str, given: Mapping[str, Attribute]) -> tuple[tuple[str, Attribute], ...]:
    return tuple((key, given[key]) for key in _SETTINGS[name] if given.get(key) is not None)


def _with(name: str, settings: tuple[tuple[str, Attribute], ...]) -> Callable[[Tensor], Tensor]:
    return functools.partial(_named(name), **{_KEYWORDS.get(key, key): value for key, value in settings})


@functools.lru_cache(maxsize=128)
def _gain(name: str, settings: tuple[tuple[str, Attribute], ...]) -> float | None:
    phi = _with(name, settings)
    try:
        moment = expectation(lambda z: phi(z).square())
    except (RuntimeError, TypeError, ValueError):
        return None
    return 1 / math.sqrt(moment) if is_gain(moment) else None


def activation_gain(
    phi: Activation, *, mode: str = "in", mean: float = 0.0, square: float = 1.0, convention: str = "exact"
) -> float:
    """Factor on the law's standard deviation that makes up for an elementwise activation.

    Args:
        phi: Name, elementwise callable, or module (its copy in eval mode; a PReLU at its current slope).
        mode: ``in``: 1 / sqrt(E phi^2), keeps the signal; ``out``: 1 / sqrt(E phi'^2), keeps the gradient.
        mean: E z of the pre-activation, a Gaussian.
        square: E z^2 of the pre-activation, more than mean^2.
        convention: ``torch`` gives the constants of `torch.nn.init.calculate_gain`, for the few it knows.

    Returns:
        The gain, relative error below 1e-6.

    Raises:
        ValueError: phi is unknown, not elementwise, random, zero, or grows so fast that its moment is not finite.
    """
    _check_choices(mode, convention)
    if convention == "torch":
        return _torch_gain(phi)
    if isinstance(phi, str):
        return _exact_gain(phi, mode, mean, square)
    return _gain_by(as_function(phi), described(phi), mode, mean, square)


def glu_gain(phi: Activation, *, mean: float = 0.0, square: float = 1.0) -> float:
    """Forward gain of a gated unit phi(a) * b with independent a and b of the given moments.

    The product law: 1 / sqrt(E phi(a)^2 * E b^2). ``phi`` is ``"sigmoid"`` for GLU, ``"silu"`` for SwiGLU, ``"gelu"``
    for GEGLU; arguments as for `activation_gain` (Shazeer 2020, arXiv 2002.05202, for the units).
    """
    return activation_gain(phi, mean=mean, square=square) / math.sqrt(square)


@functools.lru_cache(maxsize=128)
def _exact_gain(name: str, mode: str, mean: float, square: float) -> float:
    if name in ("identity", "linear"):
        return _gain_by(lambda z: z * 1.0, repr(name), mode, mean, square)
    if name not in _SETTINGS:
        known = sorted([*_SETTINGS, "identity", "linear"])
        raise ValueError(
            f"no activation is called {name!r}{did_you_mean(name, known)}; known: {', '.join(known)}, "
            "or pass the function itself"
        )
    return _gain_by(_named(name), repr(name), mode, mean, square)


def _gain_by(phi: Callable[[Tensor], Tensor], name: str, mode: str, mean: float, square: float) -> float:
    variance = square - mean * mean
    if not (math.isfinite(variance) and variance > 0):
        raise ValueError(f"expected E z^2 above (E z)^2, both finite; got square={square:g}, mean={mean:g}")
    check_elementwise(phi, name)
    respond = (lambda z: derivative(phi, z, name)) if mode == "out" else phi
    with torch.no_grad():
        moment = expectation(lambda z: respond(z).square(), mean=mean, variance=variance)
    if is_gain(moment):
        return 1 / math.sqrt(moment)
    what = "phi'" if mode == "out" else "phi"
    if moment == 0:
        raise ValueError(f"{name}: {what} is zero everywhere it was evaluated, so no gain restores the signal")
    raise ValueError(
        f"{name}: the integral of {what}^2 does not settle within {REACH:g} standard deviations; it grows too fast"
    )


def _torch_gain(phi: Activation) -> float:
    if isinstance(phi, nn.LeakyReLU | nn.PReLU) or phi == "leaky_relu":
        return activation_gain(phi)
    name = phi if isinstance(phi, str) else described(phi).lower()
    if name not in _TORCH:
        raise ValueError(
            f"torch states no gain for {described(phi)}; it has {', '.join(_TORCH)}, leaky_relu; "
            "convention='exact' has all"
        )
    return _TORCH[name]


def _check_choices(mode: str, convention: str) -> None:
    if mode not in ("in", "out"):
        raise ValueError(f"mode: expected 'in' or 'out', got {mode!r}")
    if convention not in ("exact", "torch"):
        raise ValueError(f"convention: expected 'exact' or 'torch', got {convention!r}")


def _named(name: str) -> Callable[..., Tensor]:
    function: Callable[..., Tensor] = getattr(F, name, None) or getattr(torch, name)
    return function
