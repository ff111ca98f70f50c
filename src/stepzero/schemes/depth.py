"""Factors by depth for residual networks: plain arithmetic, applied by whoever knows the branches.

N counts blocks and L residual branches; a pre-norm transformer has L = 2 N. A factor multiplies the deviation that the
layer would have without it, unless the text says that it *is* the deviation.
"""

import math
from collections.abc import Sequence
from typing import Literal, NamedTuple


class Residual(NamedTuple):
    """Two numbers of a scheme for post-norm blocks: the stream's multiplier and the factor on the weights."""

    alpha: float
    """Multiplies the stream at each join: LN(alpha x + f(x))."""
    beta: float
    """Factor on the standard deviation of fc1, fc2, v and out; never of q and k."""


def depth_gpt2(std: float, branches: int) -> float:
    """Deviation of the last layer of each branch: std / sqrt(L). Reference: Radford et al. 2019, GPT-2."""
    return std / math.sqrt(_count(branches, "branches"))


def depth_index(std: float, index: int) -> float:
    """Deviation of the last layers of block ``index``, counted from 0: std / sqrt(2 (index + 1)).

    Shrinks early blocks less than `depth_gpt2`. Reference: the Llama model of torchtitan.
    """
    return std / math.sqrt(2 * _count(index + 1, "index + 1"))


def small_init(width: int) -> float:
    """Deviation sqrt(2 / (5 d)) for all but the branch ends (see `wang`).

    Reference: Nguyen & Salazar 2019, arXiv 1910.05895.
    """
    return math.sqrt(2 / (5 * _count(width, "width")))


def wang(width: int, blocks: int) -> float:
    """Deviation 2 / (N sqrt(d)) for the ends of branches. Reference: Black et al. 2022, arXiv 2204.06745."""
    return 2 / (_count(blocks, "blocks") * math.sqrt(_count(width, "width")))


def fixup(branches: int, layers: int) -> float:
    """Factor L^(-1 / (2 k - 2)) on He's deviation in a branch of k layers; the last of them and the head start at 0.

    Scalar biases 0 and a scalar multiplier 1 belong to it. Reference: Zhang, Dauphin & Ma 2019, arXiv 1901.09321.
    """
    if layers < 2:
        raise ValueError(f"layers: expected 2 or more in a branch, got {layers}; the last one starts at zero")
    return float(_count(branches, "branches") ** (-1 / (2 * layers - 2)))


def t_fixup(layers: int, *, part: Literal["encoder", "decoder", "embedding"]) -> float:
    """Factor on Xavier's deviation in v, out, fc1, fc2, for transformers without norms and warm-up.

    0.67 N^(-1/4) in the encoder, (9 N)^(-1/4) in the decoder (with cross-attention) and on embeddings N(0, 1 / d).
    ``layers`` are those of the stack itself; for target embeddings, of the decoder. Reference: Huang et al. 2020, ICML.
    """
    n = _count(layers, "layers")
    if part not in ("encoder", "decoder", "embedding"):
        raise ValueError(f"part: expected 'encoder', 'decoder' or 'embedding', got {part!r}")
    return float(0.67 * n**-0.25 if part == "encoder" else (9 * n) ** -0.25)


def deepnorm(blocks: int) -> Residual:
    """One post-norm stack: alpha = (2 N)^(1/4), beta = (8 N)^(-1/4). Reference: Wang et al. 2022, arXiv 2203.00555."""
    n = _count(blocks, "blocks")
    return Residual(alpha=float((2 * n) ** 0.25), beta=float((8 * n) ** -0.25))


def deepnorm_pair(encoder: int, decoder: int) -> tuple[Residual, Residual]:
    """Encoder of N blocks and decoder of M.

    Encoder: alpha = 0.81 (N^4 M)^(1/16), beta = 0.87 (N^4 M)^(-1/16); decoder: alpha = (3 M)^(1/4),
    beta = (12 M)^(-1/4). Reference: Wang et al. 2022, arXiv 2203.00555.
    """
    n, m = _count(encoder, "encoder"), _count(decoder, "decoder")
    root = float((n**4 * m) ** (1 / 16))
    return Residual(0.81 * root, 0.87 / root), Residual(float((3 * m) ** 0.25), float((12 * m) ** -0.25))


def subln(blocks: int) -> float:
    """Factor sqrt(log(2 N)) on v, out, fc1, fc2 of blocks with an inner norm, one stack.

    Reference: Wang et al. 2022, arXiv 2210.06423.
    """
    return math.sqrt(math.log(2 * _count(blocks, "blocks")))


def subln_pair(encoder: int, decoder: int) -> tuple[float, float]:
    """Encoder sqrt(log(3 M) log(2 N) / 3), decoder sqrt(log(3 M)). Reference: Wang et al. 2022, arXiv 2210.06423."""
    n, m = _count(encoder, "encoder"), _count(decoder, "decoder")
    return math.sqrt(math.log(3 * m) * math.log(2 * n) / 3), math.sqrt(math.log(3 * m))


def layerscale(depth: int) -> float:
    """Multiplier of each channel of a branch: 0.1 up to depth 18, 1e-5 up to 24, 1e-6 deeper.

    Reference: Touvron et al. 2021, arXiv 2103.17239.
    """
    depth = _count(depth, "depth")
    return 0.1 if depth <= 18 else 1e-5 if depth <= 24 else 1e-6


def admin(variances: Sequence[float]) -> tuple[float, ...]:
    """Multipliers omega_i of the stream, LN(omega_i x + f_i(x)), from the variance of each branch in one pass.

    omega_i^2 = sum over j < i of Var f_j; the first stays 1. Reference: Liu et al. 2020, arXiv 2004.08249.
    """
    if any(not (math.isfinite(value) and value >= 0) for value in variances):
        raise ValueError("variances: expected finite numbers of 0 or more")
    return tuple(math.sqrt(sum(variances[:i])) if i else 1.0 for i in range(len(variances)))


def admin_closed(branches: int) -> float:
    """One multiplier of all joins without a pass: omega^2 = (N + 1) / log(N + 1) - 1.

    Reference: Liu et al. 2020, arXiv 2004.08249.
    """
    n = _count(branches, "branches")
    return math.sqrt((n + 1) / math.log(n + 1) - 1)


def depth_mup(branches: int) -> float:
    """Multiplier 1 / sqrt(L) of each branch, which carries learning rates over to other depths.

    Reference: Yang et al. 2023, arXiv 2310.02244.
    """
    return 1 / math.sqrt(_count(branches, "branches"))


def _count(value: int, name: str) -> int:
    if value < 1:
        raise ValueError(f"{name}: expected 1 or more, got {value}")
    return value
