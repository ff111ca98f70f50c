"""Laws of plain chains: runs of layers with no skip and no norm, where what one layer does to the signal multiplies.

Legend: L layers of a chain, q mean square of a pre-activation, n fan-in, C outputs of a head, chi growth a layer of a
gradient's square.
"""

import functools
import math
from dataclasses import dataclass

from stepzero.core.limits import Limits
from stepzero.core.trace import Trace
from stepzero.measure.gain import activation_gain
from stepzero.measure.segments import Segment, segments
from stepzero.measure.uses import weight_use

_GROWTH = math.e
"""What a gradient's mean square may grow by along a chain: as much as a stream of residual branches may."""
_SMALLEST = 0.25
"""Standard deviation at which odd activations are linear to 2 % and a smaller one gains nothing."""
_HALVINGS = 20
_RECTIFIERS = frozenset(["relu", "leaky_relu", "gelu", "silu", "mish", "hardswish"])
"""They bend at zero, so that a small signal is bent as well: ReLU exactly so, the smooth ones to a good part."""


@dataclass(frozen=True, slots=True)
class Chain:
    """What a plain chain is: how many layers, and what its head reads and says if it ends in one."""

    layers: int
    features: float | None = None
    outputs: float | None = None

    def std(self, activation: str, head_std: float) -> float:
        """Standard deviation of the pre-activations that this activation reads."""
        steady = steady_std(activation, self.layers)
        if self.features is None or self.outputs is None or activation not in _RECTIFIERS:
            return steady
        return min(steady, quiet_std(activation, head_std**2 * self.outputs / self.features))


def found(trace: Trace) -> dict[str, Chain]:
    """Weights of chains that are long enough for depth to matter, with their chain."""
    least = Limits().law_min_layers
    return {
        name: _chain(segment)
        for segment in segments(trace)
        if len(segment.operations) >= least
        for name in segment.parameters
    }


def _chain(segment: Segment) -> Chain:
    last, layers = segment.operations[-1], len(segment.operations)
    use = weight_use(last) if last.role == "head" else None
    return Chain(layers) if use is None else Chain(layers, use.fan_in, use.fan_out)


def orthogonal_gain(gain: float, fan_in: float, shape: tuple[int, ...]) -> float:
    """Gain of a matrix with orthonormal rows or columns whose entries have mean square g^2 / n.

    Singular values multiply along a chain: those of normal draws spread out with depth, equal ones do not (Saxe et al.
    2013, arXiv 1312.6120; Pennington et al. 2017, arXiv 1711.04735).
    """
    return gain * math.sqrt(max(shape) / fan_in)


@functools.lru_cache(maxsize=256)
def steady_std(activation: str, layers: int) -> float:
    """Standard deviation of the pre-activations for which the gradient stays in bounds: chi(q)^L <= e, at most 1.

    Weights that keep q through the activation have variance q / (n E phi^2), so chi = q E phi'^2 / E phi^2, which is
    1 for ReLU whatever q, and above 1 for tanh by more the larger q is: the deeper the chain, the smaller the signal
    (Schoenholz et al. 2016, arXiv 1611.01232). Unknown activations keep 1.
    """
    if not _grows(activation, 1.0, layers):
        return 1.0
    low, high = _SMALLEST, 1.0
    if _grows(activation, low, layers):
        return low
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if _grows(activation, middle, layers) else (middle, high)
    return low


@functools.lru_cache(maxsize=256)
def quiet_std(activation: str, square: float) -> float:
    """Standard deviation of the pre-activations, at most 1, for which a head keeps the gradient as well as its logits.

    A head of variance w^2 makes logits of mean square n w^2 E phi^2 = s^2 and sends a gradient back that keeps its size
    if C w^2 E phi'^2 = 1 (He et al. 2015, arXiv 1502.01852, both directions). Both hold at once when
    E phi^2 / E phi'^2 = s^2 C / n, the ``square`` here, which for ReLU is q itself. Where the scale of a signal is
    free, this one makes the head the loud end of the network and its first layer the quiet one, so that early layers
    learn faster than the head: the imbalance that speeds the learning of features up in networks with rectifiers (Kunin
    et al. 2024, arXiv 2406.06158). An odd activation loses its bend in a quiet signal and has no such freedom.
    """
    low, high = _SMALLEST, 1.0
    if _level(activation, high) <= square:
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if _level(activation, middle) < square else (low, middle)
    return low


def _level(activation: str, std: float) -> float:
    """E phi^2 / E phi'^2 for a signal of that size."""
    square = std * std
    return (activation_gain(activation, mode="out", square=square) / activation_gain(activation, square=square)) ** 2


def _grows(activation: str, std: float, layers: int) -> bool:
    square = std * std
    try:
        forward = activation_gain(activation, square=square)
        backward = activation_gain(activation, mode="out", square=square)
    except ValueError:
        return False
    return bool(square * (forward / backward) ** 2 > _GROWTH ** (1 / layers))
