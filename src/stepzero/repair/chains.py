"""Laws of plain chains: runs of layers with no skip and no norm, where what one layer does to the signal multiplies.

Legend: L layers of a chain, q mean square of a pre-activation, n fan-in, chi growth a layer of a gradient's square.
"""

import functools
import math

from stepzero.core.limits import Limits
from stepzero.core.trace import Trace
from stepzero.measure.gain import activation_gain
from stepzero.measure.segments import segments

_GROWTH = math.e
"""What a gradient's mean square may grow by along a chain: as much as a stream of residual branches may."""
_SMALLEST = 0.25
"""Standard deviation at which odd activations are linear to 2 % and a smaller one gains nothing."""
_HALVINGS = 20


def lengths(trace: Trace) -> dict[str, int]:
    """Weights of chains that are long enough for depth to matter, with the number of layers of their chain."""
    least = Limits().law_min_layers
    return {
        name: len(segment.operations)
        for segment in segments(trace)
        if len(segment.operations) >= least
        for name in segment.parameters
    }


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


def _grows(activation: str, std: float, layers: int) -> bool:
    square = std * std
    try:
        forward = activation_gain(activation, square=square)
        backward = activation_gain(activation, mode="out", square=square)
    except ValueError:
        return False
    return bool(square * (forward / backward) ** 2 > _GROWTH ** (1 / layers))
