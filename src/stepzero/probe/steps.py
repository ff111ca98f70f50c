"""Virtual optimizer steps on a Replica."""

import math

import torch
from torch import Tensor

from stepzero.probe.replica import Gradients, Replica
from stepzero.probe.rounding import Sizes

SIZE = 1e-2
"""Of a parameter's scale, root mean square."""
_NOISE = 1e-11
"""A gradient this much smaller than the largest is a cancelled sum: stepping along it would amplify rounding."""


def scale_of(parameter: Tensor) -> float:
    """Root mean square; 1 over the root of its fan for a zero matrix, 1 for a zero vector: what it will grow to."""
    rms = _rms(parameter.detach()) if parameter.numel() else 0.0
    if rms > 0:
        return rms
    return float(max(1, parameter[0].numel()) ** -0.5) if parameter.dim() > 1 else 1.0


def _rms(tensor: Tensor) -> float:
    """Root mean square; of complex numbers that of their magnitudes."""
    return float(tensor.abs().square().mean().sqrt())


def summed(total: Gradients, more: Gradients) -> Gradients:
    """Sum of two passes' gradients; None only where both are."""
    return {name: _sum(total.get(name), gradient) for name, gradient in more.items()}


def _sum(one: Tensor | None, other: Tensor | None) -> Tensor | None:
    return other if one is None else one if other is None else one + other


def _moving(gradients: Gradients) -> dict[str, tuple[Tensor, float]]:
    """Gradients that are more than rounding, with their root mean squares."""
    present = {name: each for name, each in gradients.items() if each is not None and each.numel()}
    sizes = {name: _rms(each) for name, each in present.items()}
    floor = _NOISE * max(sizes.values(), default=0.0)
    return {name: (each, sizes[name]) for name, each in present.items() if sizes[name] > floor}


def nudged(replica: Replica) -> dict[str, Tensor]:
    """The start with every number one rounding up or down."""
    generator, found = torch.Generator().manual_seed(0x1E), {}
    for name in replica.parameters:
        start = replica.start_of(name)
        signs = torch.randint(0, 2, start.shape, generator=generator).to(start.device, start.dtype) * 2 - 1
        found[name] = start * (1 + signs * torch.finfo(start.dtype).eps)
    return found


def moving(sizes: Sizes, gradients: Gradients) -> Gradients:
    """Gradients of which some slice is more than rounding."""
    return {name: each for name, each in gradients.items() if (s := sizes[name]) is not None and bool((s > 0).any())}


def along(replica: Replica, gradients: Gradients) -> None:
    """As `plain`, for gradients that are known to be signal however small they are."""
    with torch.no_grad():
        for name, gradient in gradients.items():
            size = float(gradient.abs().max()) if gradient is not None else 0.0
            if gradient is not None and size > 0:
                scaled = gradient / size  # squares of a gradient that arrives through many zeros would underflow
                parameter = replica.parameters[name]
                parameter -= SIZE * scale_of(replica.start_of(name)) * scaled / _rms(scaled)


def plain(replica: Replica, gradients: Gradients) -> None:
    """Every parameter moves by about `SIZE` of its scale along its own gradient: linear in it, tensor by tensor."""
    with torch.no_grad():
        for name, (gradient, size) in _moving(gradients).items():
            parameter = replica.parameters[name]
            parameter -= SIZE * _round(scale_of(replica.start_of(name))) / _round(size) * gradient


def _round(size: float) -> float:
    """The nearest power of two: units of two tensors that differ elsewhere take one step, as under one rate."""
    return 2.0 ** round(math.log2(size)) if 0.0 < size < math.inf else size


def elementwise(replica: Replica, gradients: Gradients) -> None:
    """An odd, nonlinear function of every entry and its gradient, as Adam with coupled weight decay computes one."""
    with torch.no_grad():
        for name, (gradient, size) in _moving(gradients).items():
            parameter, scale = replica.parameters[name], _round(scale_of(replica.start_of(name)))
            parameter -= SIZE * scale * torch.tanh(gradient / _round(size) + 0.5 * parameter / scale)
