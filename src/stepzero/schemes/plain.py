"""Schemes for deep plain networks, without norms and residual streams."""

import math
from typing import Literal

from torch import Generator, Tensor

from stepzero.measure.elementwise import Activation, described
from stepzero.measure.gain import activation_gain
from stepzero.schemes.drawing import Distribution
from stepzero.schemes.law import Fans, fill_
from stepzero.schemes.variance import lecun_


def edge_of_chaos(phi: Activation, *, square: float = 1.0) -> tuple[float, float]:
    """Weight and bias deviations at which a deep plain net neither forgets nor amplifies differences of its inputs.

    sigma_w^2 = 1 / E phi'(z)^2 and sigma_b^2 = q - sigma_w^2 E phi(z)^2 with z ~ N(0, q): the second moment q stays
    and small differences neither shrink nor grow.

    Args:
        phi: Activation: name, callable or module.
        square: q, the second moment of the pre-activations to keep.

    Returns:
        (sigma_w, sigma_b): weights have standard deviation sigma_w / sqrt(n), biases sigma_b.

    Raises:
        ValueError: sigma_b^2 would be negative (sigmoid and softplus have no edge of chaos).

    Reference: Schoenholz, Gilmer, Ganguli & Sohl-Dickstein 2016, arXiv 1611.01232.
    """
    weight = activation_gain(phi, mode="out", square=square) ** 2
    bias = square - weight / activation_gain(phi, mode="in", square=square) ** 2
    if abs(bias) < 1e-9 * square:  # rounding of the two integrals: ReLU has exactly 0
        bias = 0.0
    if bias < 0:
        raise ValueError(
            f"{described(phi)} has no edge of chaos at q = {square:g}: the variance of the biases would be {bias:.3g}"
        )
    return math.sqrt(weight), math.sqrt(bias)


def edge_of_chaos_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float | None = None,
    phi: Activation = "tanh",
    square: float = 1.0,
    distribution: Distribution = "normal",
) -> Tensor:
    """Weights of variance sigma_w^2 / n at the edge of chaos; biases take `edge_of_chaos`'s second number.

    Args and returns: as for `lecun_` and `edge_of_chaos`. Reference: Schoenholz et al. 2016, arXiv 1611.01232.
    """
    sigma_w, _ = edge_of_chaos(phi, square=square)
    return lecun_(tensor, generator=generator, fan_in=fan_in, gain=sigma_w, distribution=distribution)


def random_walk_(
    tensor: Tensor,
    *,
    generator: Generator,
    fan_in: float | None = None,
    activation: Literal["linear", "relu"] = "relu",
    distribution: Distribution = "normal",
) -> Tensor:
    """Variance g^2 / n that keeps the *logarithm* of the gradient's norm, for narrow deep stacks.

    g = exp(1 / (2 n)) for linear layers and sqrt(2) exp(1.2 / (max(n, 6) - 2.4)) for ReLU, as commonly stated. Args
    and returns: as for `lecun_`. Reference: Sussillo & Abbott 2014, arXiv 1412.6558.
    """
    if activation not in ("linear", "relu"):
        raise ValueError(f"activation: expected 'linear' or 'relu', got {activation!r}")

    def std(fans: Fans) -> float:
        n = fans.n
        g = math.exp(1 / (2 * n)) if activation == "linear" else math.sqrt(2) * math.exp(1.2 / (max(n, 6) - 2.4))
        return g / math.sqrt(n)

    return fill_(tensor, std, generator=generator, fan_in=fan_in, distribution=distribution)
