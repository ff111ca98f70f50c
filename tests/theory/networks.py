"""Small float64 networks, generated classes and a plain training loop: nothing of stepzero."""

import copy
from collections.abc import Callable, Iterator
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F

CLASSES = 5


def stack(*widths: int, act: Callable[[], nn.Module] = nn.Tanh, seed: int = 0) -> nn.Sequential:
    """Linear layers at the even places, activations between them, torch's default draws."""
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for inputs, outputs in pairwise(widths):
        layers += [nn.Linear(inputs, outputs), act()]
    return nn.Sequential(*layers[:-1]).double()


def clusters(features: int, count: int = CLASSES, samples: int = 256, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Gaussian clusters, one a class."""
    generator = torch.Generator().manual_seed(seed)
    labels = torch.randint(count, (samples,), generator=generator)
    centres = torch.randn(count, features, generator=generator, dtype=torch.float64)
    return centres[labels] + torch.randn(samples, features, generator=generator, dtype=torch.float64), labels


def batches(data: tuple[Tensor, Tensor], size: int = 32, seed: int = 0) -> Iterator[tuple[Tensor, Tensor]]:
    """Fresh draws without end."""
    inputs, labels = data
    generator = torch.Generator().manual_seed(seed)
    while True:
        chosen = torch.randperm(len(inputs), generator=generator)[:size]
        yield inputs[chosen], labels[chosen]


def trained(
    model: nn.Module,
    data: tuple[Tensor, Tensor],
    optimizer: Callable[[list[nn.Parameter]], torch.optim.Optimizer],
    *,
    steps: int,
    loss_of: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    before: Callable[[nn.Module], object] = lambda _: None,
    after: Callable[[nn.Module], object] = lambda _: None,
) -> nn.Module:
    """A trained copy; ``before`` sees the gradients of each step, ``after`` its result."""
    model = copy.deepcopy(model)
    chosen = optimizer(list(model.parameters()))
    for _, (inputs, labels) in zip(range(steps), batches(data), strict=False):
        chosen.zero_grad()
        loss_of(model(inputs), labels).backward()
        before(model)
        chosen.step()
        with torch.no_grad():
            after(model)
    return model


@torch.no_grad()
def copy_unit_(model: nn.Sequential, layer: int, source: int, target: int, factor: float = 1.0) -> None:
    """Row, bias and column of ``target`` become ``factor`` times those of ``source``."""
    first, above = model[layer], model[layer + 2]
    first.weight[target] = factor * first.weight[source]
    first.bias[target] = factor * first.bias[source]
    above.weight[:, target] = factor * above.weight[:, source]


@torch.no_grad()
def lump_(model: nn.Sequential, blocks: list[list[int]]) -> None:
    """Project a stack on what keeps the blocks together: in every hidden layer the same partition."""
    linear = [layer for layer in model if isinstance(layer, nn.Linear)]
    for index, layer in enumerate(linear):
        rows = blocks if index + 1 < len(linear) else [[unit] for unit in range(layer.out_features)]
        columns = blocks if index else [[unit] for unit in range(layer.in_features)]
        for row in rows:
            for column in columns:
                _project_(layer.weight, row, column)
            layer.bias[row] = layer.bias[row].mean()


def _project_(weight: Tensor, rows: list[int], columns: list[int]) -> None:
    part = weight[rows][:, columns]
    even = part - part.mean(1, keepdim=True) - part.mean(0, keepdim=True) + 2 * part.mean()
    for index, row in enumerate(rows):
        weight[row, columns] = even[index]


def activations(model: nn.Module, inputs: Tensor) -> list[Tensor]:
    """Outputs of the activations of a stack."""
    seen = []
    with torch.no_grad():
        for layer in model.children():
            inputs = layer(inputs)
            seen += [] if isinstance(layer, nn.Linear) else [inputs]
    return seen


def rows_of(model: nn.Module, layer: int) -> Tensor:
    """Weights and biases, [units, inputs + 1]."""
    linear = list(model.children())[layer]
    return torch.cat([linear.weight.detach(), linear.bias.detach()[:, None]], 1)
