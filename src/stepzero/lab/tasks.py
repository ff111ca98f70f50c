"""Tasks of the lab: small, made here or shipped with scikit-learn, the same for everybody.

Legend: S samples. Every sample is drawn from a generator named after its task, never from a global one.
"""

import functools
import math
from collections.abc import Callable

import torch
from torch import Generator, Tensor

from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.lab import shapes
from stepzero.lab.task import Samples
from stepzero.schemes.seeding import generator_for

PROBE = 256
"""Samples on which a network is observed, at most: the first ones, which are in no order."""


def get(name: str) -> Samples:
    """The samples of that task, float32.

    Raises:
        ValueError: there is no such task; the nearest is named.
    """
    if name not in TASKS:
        raise ConfigError(f"no task is called {name!r}{did_you_mean(name, TASKS)}; known: {', '.join(TASKS)}")
    return _made(name)


def num_outputs(samples: Samples) -> int:
    """Outputs a network for these samples has."""
    return int(samples.targets.max()) + 1 if samples.loss == "cross_entropy" else samples.targets.shape[1]


def probe(samples: Samples, dtype: torch.dtype = torch.float64) -> Samples:
    """The samples a network is observed on."""
    targets = samples.targets[:PROBE]
    return Samples(
        samples.inputs[:PROBE].to(dtype).contiguous(),
        (targets if samples.loss == "cross_entropy" else targets.to(dtype)).contiguous(),
        samples.loss,
        samples.shape,
    )


@functools.cache
def _made(name: str) -> Samples:
    inputs, targets = TASKS[name](generator_for(0, f"task.{name}"))
    is_labels = not targets.is_floating_point()
    return Samples(
        inputs.float().contiguous(),
        (targets if is_labels else targets.float()).contiguous(),
        "cross_entropy" if is_labels else "mse",
        SHAPES.get(name),
    )


def _xor(generator: Generator) -> tuple[Tensor, Tensor]:
    """Quadrants of the square: the class is the sign of x y."""
    x = torch.rand(128, 2, generator=generator) * 2 - 1
    return x, (x[:, 0] * x[:, 1] > 0).long()


def _linear(generator: Generator) -> tuple[Tensor, Tensor]:
    """Two sides of a line through the origin."""
    x = torch.randn(128, 2, generator=generator)
    return x, (x[:, 0] > x[:, 1]).long()


def _spirals(generator: Generator) -> tuple[Tensor, Tensor]:
    """Two arms of one and a half turns."""
    labels = torch.arange(256) % 2
    far = torch.rand(256, generator=generator).sqrt()
    angle = 3 * math.pi * far + math.pi * labels
    noise = 0.03 * torch.randn(256, 2, generator=generator)
    return torch.stack([far * angle.cos(), far * angle.sin()], 1) * 2 + noise, labels


def _moons(generator: Generator) -> tuple[Tensor, Tensor]:
    """Two half circles that interlock."""
    labels = torch.arange(256) % 2
    angle = math.pi * torch.rand(256, generator=generator)
    side = 1 - 2 * labels
    x = torch.stack([angle.cos() * side + labels - 0.5, angle.sin() * side + 0.5 * labels - 0.25], 1)
    return x + 0.1 * torch.randn(256, 2, generator=generator), labels


def _clusters(generator: Generator) -> tuple[Tensor, Tensor]:
    """Five Gaussian clusters in 20 dimensions."""
    labels = torch.arange(500) % 5
    centres = torch.randn(5, 20, generator=generator)
    x = centres[labels] + 0.7 * torch.randn(500, 20, generator=generator)
    return (x - x.mean(0)) / x.std(), labels


def _parity(_: Generator) -> tuple[Tensor, Tensor]:
    """All words of six bits; the class is their parity."""
    bits = (torch.arange(64)[:, None] >> torch.arange(6)) & 1
    return bits.double() * 2 - 1, bits.sum(1) % 2


def _teacher(generator: Generator) -> tuple[Tensor, Tensor]:
    """What a tanh network of eight units makes of eight Gaussian inputs, standardised."""
    x = torch.randn(256, 8, generator=generator)
    first, second = (torch.randn(shape, generator=generator) for shape in ((8, 8), (8, 1)))
    y = torch.tanh(x @ first / 8**0.5 * 2) @ second
    return x, (y - y.mean()) / y.std()


def _sine(_: Generator) -> tuple[Tensor, Tensor]:
    """sin(2 pi x) on 64 points of [-1, 1]."""
    x = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    return x, torch.sin(2 * math.pi * x)


def _step(_: Generator) -> tuple[Tensor, Tensor]:
    """The sign of x - 0.3 on 64 points of [-1, 1]: a jump beside the origin."""
    x = torch.linspace(-1, 1, 64, dtype=torch.float64)[:, None]
    return x, (x - 0.3).sign()


def _chirp(_: Generator) -> tuple[Tensor, Tensor]:
    """sin(pi (x + 1)^2) on 128 points of [-1, 1]: waves that grow shorter."""
    x = torch.linspace(-1, 1, 128, dtype=torch.float64)[:, None]
    return x, torch.sin(math.pi * (x + 1).square())


def _copy(_: Generator) -> tuple[Tensor, Tensor]:
    """All words of eight bits, read one by one; the class is the first two, to be kept over six steps."""
    bits = (torch.arange(256)[:, None] >> torch.arange(8)) & 1
    return bits.double() * 2 - 1, bits[:, 0] + 2 * bits[:, 1]


def _shapes(generator: Generator) -> tuple[Tensor, Tensor]:
    """One or two of three plain shapes, 16 x 16 pixels, standardised over all pixels, 1,024 of them; nine classes."""
    x, y = shapes.draw(1024, generator)
    return (x - x.mean()) / x.std(), y


def _digits(generator: Generator) -> tuple[Tensor, Tensor]:
    """Digits of scikit-learn, 8 x 8 pixels, standardised over all pixels, 1,024 of them."""
    try:
        from sklearn.datasets import load_digits  # noqa: PLC0415 - an extra
    except ImportError as problem:
        raise ConfigError("the task 'digits' needs scikit-learn: pip install 'stepzero[lab]'") from problem
    found = load_digits()
    x, y = torch.tensor(found.data), torch.tensor(found.target, dtype=torch.int64)
    chosen = torch.randperm(len(x), generator=generator)[:1024]
    return ((x - x.mean()) / x.std())[chosen], y[chosen]


SHAPES = {"digits": (8, 8), "shapes": (shapes.SIDE, shapes.SIDE), "parity": (6, 1), "copy": (8, 1)}
"""Tasks that are images, or sequences."""
TASKS: dict[str, Callable[[Generator], tuple[Tensor, Tensor]]] = {
    "xor": _xor,
    "linear": _linear,
    "spirals": _spirals,
    "moons": _moons,
    "clusters": _clusters,
    "parity": _parity,
    "teacher": _teacher,
    "sine": _sine,
    "step": _step,
    "chirp": _chirp,
    "copy": _copy,
    "shapes": _shapes,
    "digits": _digits,
}
"""Name and maker: generator -> inputs [S, d] and labels [S] or numbers [S, outputs]."""
