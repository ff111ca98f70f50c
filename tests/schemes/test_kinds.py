"""Laws by fans on every kind of layer: with the exact fans, outputs and gradients keep their second moment.

The fans come from the oracle of ones, so that what is judged here are the schemes alone; whether the Trace finds the
same fans is judged by `tests/benchmarks/test_fans.py`.
"""

from typing import Any

import pytest
import torch

from benchmarks import fans
from stepzero import schemes

SEEDS = 120


def moment(name: str, fill: Any, **how: bool) -> None:
    """The second moment is 1 within five standard errors, and those are small."""
    kind = fans.KINDS[name]
    found = fans.sampled(kind.build().double(), kind, fill, SEEDS, **how)
    assert found["error"] < 0.05
    assert abs(found["mean"] - 1) < max(5 * found["error"], 0.02)


def exact(name: str) -> tuple[float, float | None]:
    kind = fans.KINDS[name]
    return fans.oracle(kind.build().double(), kind)


@pytest.mark.parametrize("name", fans.KINDS)
def test_fan_in_keeps_the_signal(name: str) -> None:
    n, _ = exact(name)
    moment(name, lambda weight, generator: schemes.lecun_(weight, generator=generator, fan_in=n))


@pytest.mark.parametrize("name", [name for name, kind in fans.KINDS.items() if not (kind.tokens or kind.is_product)])
def test_fan_in_and_the_gain_keep_it_behind_a_relu(name: str) -> None:
    n, _ = exact(name)
    moment(name, lambda weight, generator: schemes.he_(weight, generator=generator, fan_in=n), is_rectified=True)


@pytest.mark.parametrize("name", [name for name, kind in fans.KINDS.items() if not kind.tokens])
def test_fan_out_keeps_the_gradient(name: str) -> None:
    _, m = exact(name)
    moment(
        name,
        lambda weight, generator: schemes.lecun_(weight, generator=generator, fan_out=m, mode="out"),
        is_backward=True,
    )


@pytest.mark.parametrize("distribution", ["uniform", "truncated", "orthogonal"])
@pytest.mark.parametrize("name", ["Linear", "Conv2d, 4 groups", "ConvTranspose2d, stride 2", "[in, out] by addmm"])
def test_whatever_the_distribution(name: str, distribution: Any) -> None:
    n, _ = exact(name)
    moment(
        name,
        lambda weight, generator: schemes.lecun_(weight, generator=generator, fan_in=n, distribution=distribution),
    )


def test_the_uneven_phases_of_a_transposed_convolution_average_to_one() -> None:
    """Kernel 3 at stride 2: an output entry meets 1, 2, 2 or 4 taps of 9; no one variance suits all four phases."""
    kind = fans.KINDS["ConvTranspose2d, uneven"]
    model = kind.build().double()
    weight = model.get_parameter("weight")
    phases = torch.zeros(2, 2, dtype=torch.float64)
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        schemes.lecun_(weight, generator=generator, fan_in=27.0)
        x = fans.draw_input(kind, generator, torch.float64)
        output = fans._inner(model(x).detach(), kind).square()
        phases += torch.stack([output[..., i::2, j::2].mean() for i in (0, 1) for j in (0, 1)]).reshape(2, 2) / 40
    assert sorted((phases * 9 / 4).flatten().round().tolist()) == [1, 2, 2, 4]
    assert phases.mean().item() == pytest.approx(1, abs=0.05)


def test_what_the_shape_alone_would_have_given() -> None:
    """Read as [out, in, *kernel], experts [E, in, out] = [64, 256, 64] get 256 * 64 terms where an output sums 256."""
    weight = schemes.lecun_(torch.empty(64, 256, 64), generator=torch.Generator().manual_seed(0))
    assert weight.square().mean().item() * 256 == pytest.approx(256 / (256 * 64), rel=0.02)
