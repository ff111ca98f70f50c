"""Networks of one architecture trained together, each with a start, a learning rate and an order of samples of its own.

What a network becomes does not depend on which others it rode with, nor on where among them it stood. Shapes: M
networks, P numbers of a network, T steps, B samples.
"""

import functools
import logging

import torch
from torch import Tensor

from stepzero.core.errors import ConfigError
from stepzero.lab import native
from stepzero.lab.eager import Stacked
from stepzero.lab.program import Program
from stepzero.lab.task import Samples
from stepzero.lab.update import OPTIMIZERS, Update

ENGINES = ("auto", "kernel", "stacked")


class Fleet:
    """Stacked numbers of `M` networks, their optimizer's state, and how far they are."""

    def __init__(
        self, program: Program, weights_MP: Tensor, lrs_M: Tensor, update: Update, *, engine: str = "auto"
    ) -> None:
        if weights_MP.shape[1] != program.stride or len(lrs_M) != len(weights_MP):
            raise ConfigError(
                f"expected weights of shape [networks, {program.stride}] and one learning rate each, "
                f"got {tuple(weights_MP.shape)} and {len(lrs_M)}"
            )
        if update.name not in OPTIMIZERS:
            raise ConfigError(f"no optimizer of the fleet is called {update.name!r}; known: {', '.join(OPTIMIZERS)}")
        self.program, self.update, self.engine = program, update, engine
        self.weights = weights_MP.contiguous()
        self.lrs = lrs_M.to(weights_MP.dtype).contiguous()
        self.state = torch.zeros_like(self.weights), torch.zeros_like(self.weights)
        self.stopped = torch.full((len(weights_MP),), -1, dtype=torch.int64)
        """Step at which a network's loss stopped being finite, -1 while it runs; it takes no step from there on."""
        self.done = 0

    def train_(self, samples: Samples, steps: int, order_MTB: Tensor | None = None) -> Tensor:
        """Take ``steps`` steps and return the losses [M, T] before each, nan from a network's stop on.

        Without an order every step sees all samples.
        """
        order = None if order_MTB is None else order_MTB[:, :steps].contiguous()
        worker = _worker(self.engine)(self.program, self.update, samples)
        losses = worker.train_(self.weights, self.state, self.lrs, order, steps, self.done, self.stopped)
        self.done += steps
        return losses

    def layer(self, numbers_MP: Tensor, index: int) -> tuple[Tensor, Tensor]:
        """Views of a layer's weight [M, out, in] and bias [M, out] in ``weights`` or in gradients."""
        layer = self.program.layers[index]
        weight = numbers_MP[:, layer.offset : layer.bias].unflatten(1, (layer.rows, layer.columns))
        return weight, numbers_MP[:, layer.bias : layer.bias + layer.rows]


def observe(
    program: Program, weights_MP: Tensor, samples: Samples, *, engine: str = "auto"
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One pass over all samples: losses [M], values and gradients of all buffers [M, rows, B], gradients [M, P]."""
    return _worker(engine)(program, Update(), samples).observe(weights_MP.contiguous())


def _worker(engine: str) -> type[native.Kernel] | type[Stacked]:
    return native.Kernel if has_kernel(engine) else Stacked


def has_kernel(engine: str) -> bool:
    """Whether this engine is the kernel, here."""
    if engine not in ENGINES:
        raise ConfigError(f"engine of a fleet: expected one of {', '.join(ENGINES)}, got {engine!r}")
    return engine == "kernel" or (engine == "auto" and not _is_without_kernel())


@functools.cache
def _is_without_kernel() -> bool:
    """Whether the kernel cannot be had; says so once."""
    if native.reason():
        logging.getLogger("stepzero").warning("the lab runs several times slower: %s", native.reason())
    return bool(native.reason())
