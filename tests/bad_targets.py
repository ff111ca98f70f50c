"""Factories of models, batches and losses with something wrong; each is a target of the Python API and of the CLI."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

X = torch.linspace(-1, 1, 24).view(6, 4)
CLASSES = torch.tensor([0, 1, 2, 3, 0, 1])


class Layer(nn.Module):
    """A linear layer and a function of (layer, x) around it."""

    def __init__(self, function: Any) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Any) -> Any:
        return self.function(self.layer, x)


class Boom(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return x.clone()

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        raise ArithmeticError("no way back")


def boom(*_: Any) -> Any:
    raise KeyError("no way forward")


def of(model: Any, batch: Any = X, loss: Any = None) -> Any:
    """A factory from a function that makes the model."""
    return lambda: (model(), batch, loss)


def tokens() -> nn.Module:
    return nn.Sequential(nn.Embedding(5, 4), nn.Linear(4, 4))


def inner(function: Any) -> Any:
    """The function runs as the module at path ``1``."""
    return of(lambda: nn.Sequential(nn.Linear(4, 4), Layer(function)))


def plain(batch: Any = X, loss: Any = None) -> Any:
    """A sound model with a batch and a loss that may not be."""
    return of(lambda: nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)), batch, loss)


def recursing(layer: nn.Module, x: Tensor) -> Tensor:
    return recursing(layer, x) + 1


def rewriting(layer: nn.Linear, x: Tensor) -> Tensor:
    with torch.no_grad():
        layer.weight.add_(1)
        layer.bias.data = torch.ones(4)
    return layer(x)


def without_grad(layer: nn.Module, x: Tensor) -> Tensor:
    with torch.no_grad():
        return layer(x)


def nested(depth: int) -> nn.Module:
    model: nn.Module = nn.Linear(4, 4)
    for _ in range(depth):
        model = nn.Sequential(model)
    return model


def raising() -> Any:
    raise KeyError("missing setting")


def junk() -> Any:
    return {"model": nn.Linear(4, 4)}


def nothing() -> Any:
    nn.Linear(4, 4)


def swapped() -> Any:
    return X, nn.Linear(4, 4)


def meta() -> Any:
    return nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 4, device="meta")), X


def lazy() -> Any:
    return nn.Sequential(nn.Linear(4, 4), nn.LazyLinear(4)), X


def frozen() -> Any:
    return nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4)).requires_grad_(False), X


def empty_parameter() -> Any:
    model = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 4))
    model.register_parameter("none", nn.Parameter(torch.zeros(0, 4)))
    return model, X


def choosy() -> Any:
    """A factory that looks at its memory: under the marks of the poison probe it raises."""
    memory = torch.empty(4, 4)
    if bool(memory.isnan().all()):
        raise FloatingPointError("the memory holds NaN")
    return nn.Linear(4, 4), X


def with_nan(value: float) -> Tensor:
    batch = X.clone()
    batch[2, 1] = value
    return batch


wrong_width = plain(torch.ones(6, 5))
wrong_rank = plain(torch.ones(()))
wrong_dtype = plain(torch.ones(6, 4, dtype=torch.long))
double_batch = plain(X.double())
float_tokens = of(tokens)
token_too_large = of(tokens, torch.tensor([[1, 7]]))
wrong_keyword = plain({"pixels": X})
too_many = plain((X, X, X))
empty_batch = plain(torch.zeros(0, 4))
no_batch = plain(None)
strings = plain(["a", "b"])
number = plain(3)
exhausted = plain([])
nan_batch = plain(with_nan(float("nan")))
infinite_batch = plain(with_nan(float("inf")))
vector_loss = plain(X, lambda output: output.mean(1))
float_loss = plain(X, lambda output: 0.5)
no_loss = plain(X, lambda output: None)
integer_loss = plain(X, lambda output: output.argmax())
loss_without_target = plain(X, F.mse_loss)
named_without_target = plain(X, "mse")
unknown_loss = plain(X, "cross_entropi")
loss_of_no_kind = plain(X, 3)
raising_loss = plain(X, boom)
detached_loss = plain(X, lambda output: torch.tensor(output.detach().sum().item()))
loss_of_classes = plain(X, lambda output: F.cross_entropy(output, CLASSES + 7))
integer_output = inner(lambda layer, x: layer(x).argmax(-1))
no_output = inner(lambda layer, x: None)
words = inner(lambda layer, x: {"text": "hello"})
raising_forward = inner(lambda layer, x: boom())
raising_backward = inner(lambda layer, x: Boom.apply(layer(x)))
interrupted = inner(lambda layer, x: (_ for _ in ()).throw(KeyboardInterrupt))
endless = inner(recursing)
mutating = inner(lambda layer, x: layer(x.mul_(2)))
rewriting_itself = inner(rewriting)
no_gradient = inner(without_grad)
nan_output = inner(lambda layer, x: layer(x) * float("nan"))
no_parameters = of(lambda: nn.Sequential(nn.ReLU(), nn.Softmax(-1)))
one_sample = of(lambda: nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), nn.Linear(4, 4)), X[:1])
deep = of(lambda: nested(150))
scripted = of(lambda: torch.jit.trace(nn.Linear(4, 4), X))
