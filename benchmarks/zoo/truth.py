"""The same step measured a second way: plain hooks and plain autograd on a deep copy, against what the Trace says.

Compared are the loss, which parameters have a gradient, the norm of each gradient, and the forward and backward
statistics of every linear and convolution module. Both sides run with dropout off and the same seed.
What the batch does not reach (position tables run through a small network) is left out: a Trace measures signals only.
"""

import contextlib
import copy
import math
import random
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import numpy
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils import _pytree as pytree

from benchmarks.zoo.entry import Loss, plain_loss

EXACT = 2e-4
"""Relative difference allowed where both sides read every element (float32 sums in another order)."""
SAMPLED = 3.0
"""Factor allowed where the Trace read a sample: far outside chance, what exceeds it is a biased choice of positions."""
FLOOR = 1e-4
"""Gradients this much smaller than the largest are rounding noise: a bias in front of a normalisation."""
WEIGHTED = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d)
DROPOUTS = ("dropout", "alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout")


class Reference:
    """One step of a copy of the model, with what each weighted module gave out and got back."""

    def __init__(self, model: nn.Module, batch: Any, loss: Loss, *, seed: int) -> None:
        self.model = copy.deepcopy(model)
        self.outputs: dict[tuple[str, int], Tensor] = {}
        self.gradients: dict[tuple[str, int], Tensor] = {}
        self._calls: dict[str, int] = {}
        self.model.zero_grad(set_to_none=True)
        for path, module in self.model.named_modules():
            if isinstance(module, WEIGHTED):
                module.register_forward_hook(self._watch(path))
        with quiet(self.model):
            torch.manual_seed(seed)
            random.seed(seed)
            numpy.random.seed(seed)
            self.loss = plain_loss(self.model, copy.deepcopy(batch), loss)
            self.loss.backward()
            self.is_reached = self._reached(batch, loss)

    def _reached(self, batch: Any, loss: Loss) -> dict[tuple[str, int], bool]:
        """Which outputs differ when the entries of the batch trade places."""
        first, self.outputs = self.outputs, {}
        self._calls.clear()
        turned = pytree.tree_map_only(Tensor, lambda tensor: tensor.roll(1, 0) if tensor.dim() else tensor, batch)
        with torch.no_grad():
            plain_loss(self.model, turned, loss)
        second, self.outputs = self.outputs, first
        return {place: not torch.equal(first[place], second.get(place, torch.empty(0))) for place in first}

    def _watch(self, path: str) -> Callable[[nn.Module, Any, Tensor], None]:
        def look(_: nn.Module, __: Any, output: Tensor) -> None:
            call = self._calls.get(path, 0)
            self._calls[path] = call + 1
            self.outputs[path, call] = output.detach().clone()
            if output.requires_grad:
                output.register_hook(lambda gradient: self.gradients.__setitem__((path, call), gradient.clone()))

        return look


@contextlib.contextmanager
def quiet(model: nn.Module) -> Iterator[None]:
    """Dropout off, by module and by function; layers without state in eval mode."""
    for module in model.modules():
        module.training = True
    for module in model.modules():
        if not (module._parameters or module._buffers or module._modules):
            module.training = False
    attention = F.scaled_dot_product_attention

    def without_dropout(*args: Any, **kwargs: Any) -> Tensor:
        return attention(*args[:4], **{**kwargs, "dropout_p": 0.0})

    with contextlib.ExitStack() as stack:
        for name in DROPOUTS:
            stack.enter_context(mock.patch.object(F, name, lambda x, *_, **__: x))
        stack.enter_context(mock.patch.object(F, "scaled_dot_product_attention", without_dropout))
        yield


def disagreements(model: nn.Module, batch: Any, loss: Loss, trace: Any, *, seed: int = 0) -> list[str]:
    """One line for each number of ``trace`` that the second measurement contradicts."""
    reference = Reference(model, batch, loss, seed=seed)
    return [
        *_close("loss", trace.loss.value, float(reference.loss.detach()), EXACT),
        *_parameter_gradients(reference, trace),
        *_signals(reference, trace),
    ]


def _parameter_gradients(reference: Reference, trace: Any) -> Iterator[str]:
    true = {name: parameter.grad for name, parameter in reference.model.named_parameters()}
    norms = {name: 0.0 if grad is None else float(grad.to_dense().double().norm()) for name, grad in true.items()}
    floor = FLOOR * max(norms.values(), default=0.0)
    for fact in trace.parameters:
        name = fact.name if fact.name in true else next((alias for alias in fact.aliases if alias in true), "")
        if not name:
            yield f"{fact.name}: no such parameter"
        elif (true[name] is None) != (fact.gradient is None):
            yield f"{name}: gradient {fact.gradient} in the Trace, {norms[name]:.3g} by autograd"
        elif fact.gradient is not None and norms[name] > floor:
            yield from _close(f"{name} gradient norm", fact.gradient.norm, norms[name], EXACT)


def _signals(reference: Reference, trace: Any) -> Iterator[str]:
    largest = max((float(gradient.norm()) for gradient in reference.gradients.values()), default=0.0)
    seen = set()
    for operation in trace.operations:
        place = (operation.module, operation.call)
        if operation.kind != "weighted" or place not in reference.outputs or operation.in_loss:
            continue
        seen.add(place)
        output, gradient = reference.outputs[place], reference.gradients.get(place)
        if operation.shape != tuple(output.shape) or not reference.is_reached[place]:
            continue  # a module that reshapes around its product, or a path from constants
        yield from _signal(f"{place} forward", operation.forward, operation.unit_axis, output)
        if gradient is not None and float(gradient.norm()) > FLOOR * largest:
            yield from _signal(f"{place} backward", operation.backward, operation.unit_axis, gradient)
    yield from (f"{place}: the Trace has no weighted operation there" for place in reference.outputs.keys() - seen)


def _signal(name: str, signal: Any, axis: int | None, tensor: Tensor) -> Iterator[str]:
    if signal is None:
        yield f"{name}: not measured"
        return
    if axis is None or signal.units != tensor.shape[axis]:
        yield f"{name}: {signal.units} units on axis {axis}, the tensor is {tuple(tensor.shape)}"
        return
    double = tensor.detach().double()
    is_whole = signal.rows * signal.units == tensor.numel()
    yield from _close(f"{name} rms", signal.rms, float(double.square().mean().sqrt()), EXACT if is_whole else SAMPLED)
    if is_whole:
        squares = double.movedim(axis, -1).flatten(0, -2).square().mean(0)
        worst = max(abs(a - float(b)) for a, b in zip(signal.unit_square, squares, strict=True))
        if worst > EXACT * max(float(squares.max()), 1e-300):
            yield f"{name} mean squares by unit: off by {worst:.3g} of at most {float(squares.max()):.3g}"


def _close(name: str, said: float | None, true: float, tolerance: float) -> Iterator[str]:
    """Nothing when equal within ``tolerance``: relative below 1, a factor above."""
    if said is None or not math.isfinite(said):
        if math.isfinite(true):
            yield f"{name}: {said} in the Trace, {true:.6g} measured"
        return
    if tolerance < 1:
        is_close = abs(said - true) <= tolerance * max(abs(true), 1e-12)
    else:
        is_close = true / tolerance <= said <= true * tolerance or abs(said - true) < 1e-12
    if not is_close:
        yield f"{name}: {said:.6g} in the Trace, {true:.6g} measured"
