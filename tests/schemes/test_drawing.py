"""Distributions, truncation, orthonormal matrices, complex tensors."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from stepzero.schemes.drawing import draw_, dtype_of, orthonormal, truncated_std, write_

CUTS = {1: 0.53956, 1.5: 0.74265, 2: 0.87963, 2.5: 0.95460, 3: 0.98658, 4: 0.99946}


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("cut", CUTS)
def test_how_much_a_cut_takes(cut: float) -> None:
    assert truncated_std(cut) == pytest.approx(CUTS[cut], abs=1e-5)


@pytest.mark.parametrize("cut", [0.5, 1, 2, 4, 8])
def test_a_truncated_normal_has_its_deviation_and_its_bound(cut: float) -> None:
    values = draw_(torch.empty(200_000), 0.02, generator=seeded(), distribution="truncated", cut=cut)
    assert values.std().item() == pytest.approx(0.02, rel=0.01)
    bound = 0.02 * cut / truncated_std(cut)
    assert values.abs().max().item() <= bound * (1 + 1e-6)
    if cut <= 2:
        assert values.abs().max().item() > 0.99 * bound


def test_torch_bounds_are_absolute_and_ours_are_deviations() -> None:
    theirs = torch.nn.init.trunc_normal_(torch.empty(200_000), std=0.02, generator=seeded())
    ours = draw_(torch.empty(200_000), 0.02, generator=seeded(), distribution="truncated")
    assert theirs.abs().max().item() > 4 * 0.02
    assert ours.abs().max().item() < 2.3 * 0.02


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("std", [1e-30, 1e-6, 0.0])
def test_tiny_and_zero_deviations(std: float, dtype: torch.dtype) -> None:
    values = draw_(torch.empty(20_000, dtype=dtype), std, generator=seeded(), distribution="truncated").double()
    assert values.std().item() == pytest.approx(std, rel=0.03)
    assert values.abs().max().item() <= std * 2.3


def test_a_draw_in_half_precision_is_rounded_once() -> None:
    wide = draw_(torch.empty(1000), 0.02, generator=seeded(), distribution="truncated")
    half = draw_(torch.empty(1000, dtype=torch.bfloat16), 0.02, generator=seeded(), distribution="truncated")
    assert torch.equal(wide.bfloat16(), half)


def test_a_uniform_draw_has_its_bound() -> None:
    values = draw_(torch.empty(100_000), 0.5, generator=seeded(), distribution="uniform")
    assert values.abs().max().item() == pytest.approx(0.5 * math.sqrt(3), rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated"])
def test_a_complex_tensor_shares_the_variance_between_its_parts(dtype: torch.dtype, distribution: str) -> None:
    values = draw_(torch.empty(100_000, dtype=dtype), 0.3, generator=seeded(), distribution=distribution)  # type: ignore[arg-type]
    for part in (values.real, values.imag):
        assert part.square().mean().item() == pytest.approx(0.09 / 2, rel=0.03)
    with pytest.raises(ValueError, match="complex"):
        draw_(torch.empty(3, 3, dtype=dtype), 1.0, generator=seeded(), distribution="orthogonal")


@given(rows=st.integers(1, 24), columns=st.integers(1, 24), seed=st.integers(0, 99))
def test_orthonormal_in_the_smaller_direction(rows: int, columns: int, seed: int) -> None:
    matrix = orthonormal(rows, columns, generator=seeded(seed), dtype=torch.float64)
    gram = matrix.T @ matrix if rows >= columns else matrix @ matrix.T
    assert torch.allclose(gram, torch.eye(min(rows, columns), dtype=torch.float64), atol=1e-12)


def test_orthonormal_matrices_are_uniformly_distributed() -> None:
    """E trace = 0 and E trace^2 = 1 under the Haar measure; without the sign fix QR gives another trace."""
    traces = torch.stack([orthonormal(4, 4, generator=seeded(s), dtype=torch.float64).trace() for s in range(2000)])
    assert traces.mean().item() == pytest.approx(0, abs=5 / math.sqrt(2000))
    assert traces.square().mean().item() == pytest.approx(1, abs=5 * math.sqrt(2 / 2000))


def test_what_numbers_are_drawn_in() -> None:
    found = {kind: dtype_of(torch.empty(1, dtype=kind)) for kind in (torch.float64, torch.float32, torch.bfloat16)}
    assert found == {torch.float64: torch.float64, torch.float32: torch.float32, torch.bfloat16: torch.float32}


def test_a_write_is_not_recorded() -> None:
    parameter = torch.nn.Parameter(torch.zeros(2, 3))
    write_(parameter, torch.ones(2, 3, dtype=torch.float64))
    assert parameter.grad_fn is None
    assert parameter.sum().item() == 6


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"std": 1.0, "distribution": "gauss"}, "expected one of normal, uniform"),
        ({"std": -1.0}, "0 or more"),
        ({"std": math.nan}, "0 or more"),
        ({"std": 1.0, "cut": 0.0}, "more than 0"),
        ({"std": 1.0, "distribution": "orthogonal"}, "at least two axes"),
    ],
)
def test_wrong_arguments(arguments: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        draw_(torch.empty(3), generator=seeded(), **arguments)  # type: ignore[arg-type]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_a_generator_elsewhere_draws_there() -> None:
    values = torch.empty(1000, device="cuda")
    draw_(values, 1.0, generator=torch.Generator("cuda").manual_seed(0))
    assert values.std().item() == pytest.approx(1, abs=0.15)
    here = draw_(torch.empty(1000), 1.0, generator=seeded())
    assert torch.equal(draw_(torch.empty(1000, device="cuda"), 1.0, generator=seeded()).cpu(), here)
