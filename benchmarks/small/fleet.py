"""Many networks of one build trained at once: their parameters are stacked, every operation runs over all of them.

Legend: M networks. Gradients come from `torch.func`; the two optimizers are written out, each network with a learning
rate of its own.
"""

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.func import functional_call, grad_and_value, stack_module_state, vmap

from benchmarks.small import training
from benchmarks.small.tasks import BATCH, Task

Values = dict[str, Tensor]


def train(
    models: Sequence[nn.Module], task: Task, optimizer: str, lrs: Sequence[float], seeds: Sequence[int],
    *, steps: int = training.STEPS, size: int = BATCH,
) -> list[float]:  # fmt: skip
    """Losses over the whole task after training; infinite where they are not finite. The models stay as they are."""
    if any(isinstance(module, nn.LSTM | nn.GRU) for module in models[0].modules()):
        raise TypeError("a fused recurrent operation cannot be stacked")
    values = {name: value.detach() for name, value in stack_module_state(list(models))[0].items()}
    skeleton = models[0]

    def loss(own: Values, inputs: Tensor, targets: Tensor) -> Tensor:
        return training.loss_of(functional_call(skeleton, own, (inputs,)), targets)

    step = _STEPS[optimizer](values, torch.tensor(lrs))
    backward = vmap(grad_and_value(loss))
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    for _ in range(steps):
        drawn = [task.batch(generator, size) for generator in generators]
        inputs, targets = (torch.stack(parts) for parts in zip(*drawn, strict=True))
        gradients, _ = backward(values, inputs, targets)
        step(gradients)
    with torch.no_grad():
        final = vmap(loss, in_dims=(0, None, None))(values, task.inputs, task.targets).tolist()
    return [each if math.isfinite(each) else math.inf for each in final]


class _Momentum:
    def __init__(self, values: Values, lrs_M: Tensor) -> None:
        self.values, self.lrs = values, lrs_M
        self.speed = {name: torch.zeros_like(value) for name, value in values.items()}

    def __call__(self, gradients: Values) -> None:
        for name, value in self.values.items():
            speed = self.speed[name].mul_(0.9).add_(gradients[name])
            value.sub_(speed * _wide(self.lrs, value))


class _Adam:
    def __init__(self, values: Values, lrs_M: Tensor) -> None:
        self.values, self.lrs, self.count = values, lrs_M, 0
        self.first = {name: torch.zeros_like(value) for name, value in values.items()}
        self.second = {name: torch.zeros_like(value) for name, value in values.items()}

    def __call__(self, gradients: Values) -> None:
        self.count += 1
        one, two = 1 - 0.9**self.count, 1 - 0.999**self.count
        for name, value in self.values.items():
            first = self.first[name].lerp_(gradients[name], 0.1)
            second = self.second[name].mul_(0.999).addcmul_(gradients[name], gradients[name], value=0.001)
            value.sub_(_wide(self.lrs, value) * (first / one) / ((second / two).sqrt_() + 1e-8))


_STEPS = {"momentum": _Momentum, "adam": _Adam}


def _wide(lrs_M: Tensor, value: Tensor) -> Tensor:
    return lrs_M.reshape(-1, *[1] * (value.dim() - 1))
