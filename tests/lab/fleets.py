"""Programs, samples and starts for the tests of the lab, and the same network written in plain torch."""

import torch
from torch import nn

from stepzero.lab import activations, program
from stepzero.lab.task import Samples

PROGRAMS = {
    "plain": lambda phi: program.mlp(5, [7, 6], 3, phi),
    "wide": lambda phi: program.mlp(20, [33], 3, phi),
    "linear": lambda phi: program.mlp(5, [], 3, phi),
    "residual": lambda phi: program.residual(5, 9, 2, 3, phi, has_norm=False),
    "normed": lambda phi: program.residual(5, 16, 2, 3, phi, has_norm=True, branch=1),
}


def samples(built, *, loss="cross_entropy", count=21, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    inputs = torch.randn(count, built.rows[0], generator=generator, dtype=dtype)
    if loss == "mse":
        return Samples(inputs, torch.randn(count, built.rows[-1], generator=generator, dtype=dtype), loss)
    return Samples(inputs, torch.randint(0, built.rows[-1], (count,), generator=generator), loss)


def starts(built, networks, *, dtype=torch.float64, seed=1, scale=0.5):
    generator = torch.Generator().manual_seed(seed)
    weights = scale * torch.randn(networks, built.stride, generator=generator, dtype=dtype)
    weights[:, built.used :] = 0
    return weights


class Plain(nn.Module):
    """The program as one module that autograd differentiates."""

    def __init__(self, built, numbers):
        super().__init__()
        self.built, self.numbers = built, nn.Parameter(numbers.clone())

    def forward(self, x):
        rows, values = self.built.rows, [x]
        for op in self.built.ops:
            source = values[op.source]
            if op.kind == "linear":
                out, middle = rows[op.out], op.offset + rows[op.out] * rows[op.source]
                weight = self.numbers[op.offset : middle].reshape(out, -1)
                values.append(nn.functional.linear(source, weight, self.numbers[middle : middle + out]))
            elif op.kind == "activate":
                values.append(activations.get(self.built.activation).value(source) * 1)  # a tensor of its own
            elif op.kind == "norm":
                values.append(nn.functional.layer_norm(source, source.shape[-1:]))
            else:
                values.append(source + values[op.other])
        return values


def loss_of(output, samples, chosen=slice(None)):
    judge = nn.functional.cross_entropy if samples.loss == "cross_entropy" else nn.functional.mse_loss
    return judge(output, samples.targets[chosen])
