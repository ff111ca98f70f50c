"""The kernel's stand-in: the same operations on stacked tensors, for machines without a C++ compiler.

Samples are padded to whole cache lines with such as weigh nothing: matrix products choose their code by alignment.
Shapes: M networks, P numbers of a network, B samples, T steps.
"""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional as F

from stepzero.lab import activations
from stepzero.lab.program import ALIGNED, Op, Program
from stepzero.lab.task import Samples
from stepzero.lab.update import Update

_NORM_EPS = 1e-5
SEATS = 32
"""Networks that ride together: always so many, since torch chooses its code by the shape of the whole stack."""


class Stacked:
    """One program, update rule and set of samples, for `M` networks at a time."""

    def __init__(self, program: Program, update: Update, samples: Samples) -> None:
        self.program, self.update, self.samples = program, update, samples
        self.activation = activations.get(program.activation)

    def train_(
        self, weights_MP: Tensor, state: Sequence[Tensor], lrs_M: Tensor, order_MTB: Tensor | None, steps: int,
        done: int, stopped_M: Tensor,
    ) -> Tensor:  # fmt: skip
        """As `native.Kernel.train_`."""
        losses = []
        for start in range(0, len(weights_MP), SEATS):
            members = slice(start, start + SEATS)
            parts = [each[members] for each in (weights_MP, *state, lrs_M, stopped_M)]
            riding = [seated(each) for each in parts]
            order = None if order_MTB is None else seated(order_MTB[members])
            losses.append(self._ride_(riding, order, steps, done)[: len(parts[0])])
            for part, moved in zip(parts, riding, strict=True):
                part.copy_(moved[: len(part)])
        return torch.cat(losses)

    def _ride_(self, riding: Sequence[Tensor], order: Tensor | None, steps: int, done: int) -> Tensor:
        """Steps of one full stack, in place; the losses before each."""
        weights, first, second, lrs, stopped = riding
        losses = weights.new_full((SEATS, steps), torch.nan)
        for step in range(steps):
            loss, _, _, gradients = self._pass(weights, None if order is None else order[:, step])
            is_running = stopped < 0
            losses[:, step] = torch.where(is_running, loss, torch.nan)
            stopped[is_running & ~loss.isfinite()] = done + step
            moved = stepped(self.update, weights, (first, second), gradients, lrs[:, None], done + step + 1)
            for old, new in zip((weights, first, second), moved, strict=True):
                old.copy_(torch.where((stopped < 0)[:, None], new, old))
        return losses

    def observe(self, weights_MP: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """As `native.Kernel.observe`."""
        seen = []
        for start in range(0, len(weights_MP), SEATS):
            part = weights_MP[start : start + SEATS]
            loss, all_values, all_deltas, gradient = self._pass(seated(part), None)
            whole = loss, torch.cat(all_values, 1), torch.cat(all_deltas, 1), gradient
            seen.append([each[: len(part)] for each in whole])
        losses, values, deltas, gradients = (torch.cat(each) for each in zip(*seen, strict=True))
        return losses, values, deltas, gradients

    def _pass(self, weights: Tensor, chosen_MB: Tensor | None) -> tuple[Tensor, list[Tensor], list[Tensor], Tensor]:
        inputs, targets = self.samples.inputs, self.samples.targets
        x = inputs.T.expand(len(weights), -1, -1) if chosen_MB is None else inputs[chosen_MB].transpose(1, 2)
        y = targets.expand(len(weights), *targets.shape) if chosen_MB is None else targets[chosen_MB]
        count, empty = x.shape[2], -x.shape[2] % ALIGNED
        values = self._forward(weights, F.pad(x, (0, empty)).contiguous())
        loss, delta = _judged(self.samples.loss, values[-1][:, :, :count].contiguous(), y)
        deltas, gradients = self._backward(weights, values, F.pad(delta, (0, empty)))
        return loss, [each[:, :, :count] for each in values], [each[:, :, :count] for each in deltas], gradients

    def _forward(self, weights: Tensor, x: Tensor) -> list[Tensor]:
        values = [x]
        for op in self.program.ops:
            source = values[op.source]
            if op.kind == "linear":
                W, b = self._parts(weights, op)
                values.append(torch.baddbmm(b[:, :, None], W, source))
            elif op.kind == "activate":
                values.append(self.activation.value(source))
            elif op.kind == "norm":
                values.append((source - source.mean(1, keepdim=True)) * _inverse(source))
            else:
                values.append(source + values[op.other])
        return values

    def _backward(self, weights: Tensor, values: list[Tensor], delta: Tensor) -> tuple[list[Tensor], Tensor]:
        deltas: list[Tensor | None] = [None] * (len(values) - 1) + [delta]
        gradients = torch.zeros_like(weights)

        def arrive(place: int, part: Tensor) -> None:
            before = deltas[place]
            deltas[place] = part if before is None else before + part

        for op in reversed(self.program.ops):
            d, x = deltas[op.out], values[op.source]
            assert d is not None
            if op.kind == "linear":
                W, _ = self._parts(weights, op)
                G, g = self._parts(gradients, op)
                G.copy_(torch.bmm(d, x.transpose(1, 2)))
                g.copy_(d.sum(2))
                if op.source:
                    arrive(op.source, torch.bmm(W.transpose(1, 2), d))
            elif op.kind == "activate":
                arrive(op.source, d * self.activation.slope(x, values[op.out]))
            elif op.kind == "norm":
                y = values[op.out]
                arrive(op.source, _inverse(x) * (d - d.mean(1, keepdim=True) - y * (d * y).mean(1, keepdim=True)))
            else:
                arrive(op.source, d)
                arrive(op.other, d)
        filled = [torch.zeros_like(v) if d is None else d for v, d in zip(values, deltas, strict=True)]
        return filled, gradients

    def _parts(self, numbers_MP: Tensor, op: Op) -> tuple[Tensor, Tensor]:
        """Views of a linear operation's weight [M, out, in] and bias [M, out]."""
        rows, columns = self.program.rows[op.out], self.program.rows[op.source]
        middle = op.offset + rows * columns
        weight = numbers_MP[:, op.offset : middle].unflatten(1, (rows, columns))
        return weight, numbers_MP[:, middle : middle + rows]


def seated(part: Tensor) -> Tensor:
    """A copy that fills all seats: copies of the first network sit where there is none."""
    empty = SEATS - len(part)
    return torch.cat([part, part[:1].expand(empty, *part.shape[1:])]) if empty else part.clone()


def _inverse(x: Tensor) -> Tensor:
    return 1 / (x.var(1, correction=0, keepdim=True) + _NORM_EPS).sqrt()


def _judged(loss: str, out_MCB: Tensor, targets: Tensor) -> tuple[Tensor, Tensor]:
    """Mean loss of each network [M] and its gradient at the output [M, C, B]."""
    if loss == "mse":
        off = out_MCB - targets.transpose(1, 2)
        weight = 1 / (off.shape[1] * off.shape[2])
        return off.square().sum((1, 2)) * weight, off * (2 * weight)
    logarithms = out_MCB.log_softmax(1)
    labels_M1B = targets[:, None, :]
    delta = logarithms.exp()
    delta.scatter_add_(1, labels_M1B, delta.new_full((1, 1, 1), -1.0).expand(labels_M1B.shape))
    return -logarithms.gather(1, labels_M1B).mean((1, 2)), delta / out_MCB.shape[2]


def stepped(
    update: Update, w: Tensor, state: Sequence[Tensor], g: Tensor, lr: Tensor, number: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Weights and state after one step."""
    first, second = state
    if update.name != "adamw":
        g = g + update.decay * w
    if update.name == "sgd":
        return w - lr * g, first, second
    if update.name == "momentum":
        first = update.momentum * first + g
        return w - lr * first, first, second
    if update.name == "adamw":
        w = w * (1 - lr * update.decay)
    first = update.beta1 * first + (1 - update.beta1) * g
    second = update.beta2 * second + (1 - update.beta2) * g * g
    one, two = lr / (1 - update.beta1**number), (1 - update.beta2**number) ** -0.5
    return w - one * first / (second.sqrt() * two + update.eps), first, second
