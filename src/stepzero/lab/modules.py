"""Networks that are no plain stack: convolutional, recurrent, attention. Written as modules for `torch.func`.

Each reads samples [S, d] as an image or a sequence of the task's own shape. Nothing here is fused, so that vmap can
stack it. Legend: S samples, T steps, D features, U units.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from stepzero.core.errors import ConfigError

HEADS = 2


class Convolution(nn.Module):
    """A convolution 3 x 3 as a product over patches, so that stacked networks need no grouped convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.empty(outputs, inputs * 9)), nn.Parameter(torch.empty(outputs))

    def forward(self, x_SCHW: Tensor) -> Tensor:
        """[S, U, H, W], borders filled with zeros."""
        patches = F.unfold(x_SCHW, 3, padding=1).transpose(1, 2)
        out = F.linear(patches, self.weight, self.bias)
        image: Tensor = out.transpose(1, 2).unflatten(2, x_SCHW.shape[2:])
        return image


class Images(nn.Module):
    """``depth`` convolutions with an activation each, the mean over places, the head."""

    def __init__(self, shape: tuple[int, int], outputs: int, width: int, depth: int, phi: Callable[[Tensor], Tensor]) -> None:  # fmt: skip # noqa: E501 - one line reads best
        super().__init__()
        self.shape, self.phi = shape, phi
        self.body = nn.ModuleList(Convolution(width if number else 1, width) for number in range(depth))
        self.head = nn.Linear(width, outputs)

    def forward(self, x_Sd: Tensor) -> Tensor:
        """[S, outputs]."""
        x = x_Sd.unflatten(1, (1, *self.shape))
        for layer in self.body:
            x = self.phi(layer(x))
        head: Tensor = self.head(x.mean((2, 3)))
        return head


class Recurrent(nn.Module):
    """``depth`` Elman layers over the steps, the head on the last state."""

    def __init__(self, shape: tuple[int, int], outputs: int, width: int, depth: int, phi: Callable[[Tensor], Tensor]) -> None:  # fmt: skip # noqa: E501 - as above
        super().__init__()
        self.shape, self.phi = shape, phi
        self.body = nn.ModuleList(nn.Linear(width if number else shape[1], width) for number in range(depth))
        self.back = nn.ModuleList(nn.Linear(width, width, bias=False) for _ in range(depth))
        self.head = nn.Linear(width, outputs)

    def forward(self, x_Sd: Tensor) -> Tensor:
        """[S, outputs]."""
        states = list(x_Sd.unflatten(1, self.shape).unbind(1))
        for into, back in zip(self.body, self.back, strict=True):
            h = torch.zeros_like(into(states[0]))
            for step, x in enumerate(states):
                h = self.phi(into(x) + back(h))
                states[step] = h
        head: Tensor = self.head(states[-1])
        return head


class Attention(nn.Module):
    """``depth`` pre-norm transformer blocks without gain or shift in their norms, the mean over steps, the head."""

    def __init__(self, shape: tuple[int, int], outputs: int, width: int, depth: int, phi: Callable[[Tensor], Tensor]) -> None:  # fmt: skip # noqa: E501 - as above
        super().__init__()
        if width % HEADS:
            raise ConfigError(f"key 'widths' of a grid: a transformer has {HEADS} heads, got a width of {width}")
        self.shape, self.phi = shape, phi
        self.stem, self.head = nn.Linear(shape[1], width), nn.Linear(width, outputs)
        self.place = nn.Parameter(torch.empty(shape[0], width))
        self.packed = nn.ModuleList(nn.Linear(width, 3 * width) for _ in range(depth))
        self.out = nn.ModuleList(nn.Linear(width, width) for _ in range(depth))
        self.up = nn.ModuleList(nn.Linear(width, 2 * width) for _ in range(depth))
        self.down = nn.ModuleList(nn.Linear(2 * width, width) for _ in range(depth))

    def forward(self, x_Sd: Tensor) -> Tensor:
        """[S, outputs]."""
        x = self.stem(x_Sd.unflatten(1, self.shape)) + self.place
        for packed, out, up, down in zip(self.packed, self.out, self.up, self.down, strict=True):
            q, k, v = (each.unflatten(2, (HEADS, -1)).transpose(1, 2) for each in packed(_normed(x)).chunk(3, -1))
            scores = (q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5).softmax(-1)
            x = x + out((scores @ v).transpose(1, 2).flatten(2))
            x = x + down(self.phi(up(_normed(x))))
        head: Tensor = self.head(_normed(x).mean(1))
        return head


def _normed(x: Tensor) -> Tensor:
    return F.layer_norm(x, x.shape[-1:])


MODULES: dict[str, type[Images] | type[Recurrent] | type[Attention]] = {
    "conv": Images,
    "recurrent": Recurrent,
    "transformer": Attention,
}
