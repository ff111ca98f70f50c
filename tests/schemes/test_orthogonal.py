"""Orthogonal schemes: what they are orthogonal in, block by block, and what they do to an image."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from stepzero import schemes


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def is_orthogonal(matrix: Tensor, scale: float = 1.0, tolerance: float = 1e-5) -> bool:
    """Whether all singular values are ``scale``."""
    return bool(((torch.linalg.svdvals(matrix.double()) - scale).abs() < tolerance * scale).all())


@given(rows=st.integers(1, 40), columns=st.integers(1, 40), gain=st.floats(0.1, 4))
def test_all_singular_values_are_the_gain(rows: int, columns: int, gain: float) -> None:
    assert is_orthogonal(schemes.orthogonal_(torch.empty(rows, columns), generator=seeded(), gain=gain), gain)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.bfloat16, 0.02), (torch.float16, 2e-3)]
)
def test_dtypes(dtype: torch.dtype, tolerance: float) -> None:
    """bfloat16 has no QR; the matrix is made wider and rounded once."""
    assert is_orthogonal(schemes.orthogonal_(torch.empty(64, 64, dtype=dtype), generator=seeded()), 1.0, tolerance)


@pytest.mark.parametrize("blocks", [3, (32, 16, 16)])
def test_each_block_of_a_packed_tensor_is_orthogonal(blocks: int | tuple[int, ...]) -> None:
    rows = 96 if blocks == 3 else 64
    packed = schemes.orthogonal_(torch.empty(rows, 32), generator=seeded(), blocks=blocks)
    whole = schemes.orthogonal_(torch.empty(rows, 32), generator=seeded())
    for block, other in zip(schemes_split(packed, blocks), schemes_split(whole, blocks), strict=True):
        assert is_orthogonal(block)
        assert not is_orthogonal(other)


def schemes_split(tensor: Tensor, blocks: int | tuple[int, ...]) -> tuple[Tensor, ...]:
    return tensor.split(len(tensor) // blocks if isinstance(blocks, int) else list(blocks))


def test_depthwise_kernels_have_norm_one() -> None:
    weight = schemes.orthogonal_(torch.empty(64, 1, 3, 3), generator=seeded(), blocks=64)
    assert torch.allclose(weight.flatten(1).norm(dim=1), torch.ones(64))


@pytest.mark.parametrize(("out", "into"), [(512, 64), (64, 512), (128, 128)])
def test_suo_keeps_the_second_moment_of_the_output(out: int, into: int) -> None:
    weight = schemes.suo_(torch.empty(out, into, dtype=torch.float64), generator=seeded())
    x = torch.randn(4000, into, generator=seeded(1), dtype=torch.float64)
    assert (x @ weight.T).square().mean().item() == pytest.approx(1, rel=0.02)
    assert is_orthogonal(weight, max(math.sqrt(out / into), 1))


def test_suo_of_a_layout_that_starts_with_the_inputs() -> None:
    weight = schemes.suo_(torch.empty(64, 512), generator=seeded(), fan_in=64.0)
    x = torch.randn(4000, 64, generator=seeded(1))
    assert (x @ weight).square().mean().item() == pytest.approx(1, rel=0.02)


@pytest.mark.parametrize(("kernel", "groups"), [((3, 3), 1), ((5,), 1), ((3, 1, 5), 1), ((3, 3), 4)])
def test_a_delta_orthogonal_convolution_keeps_the_norm_of_every_image(kernel: tuple[int, ...], groups: int) -> None:
    convolution = {1: nn.functional.conv1d, 2: nn.functional.conv2d, 3: nn.functional.conv3d}[len(kernel)]
    weight = schemes.delta_orthogonal_(
        torch.empty(16, 16 // groups, *kernel, dtype=torch.float64), generator=seeded(), groups=groups
    )
    x = torch.randn(2, 16, *(7 for _ in kernel), generator=seeded(1), dtype=torch.float64)
    y = convolution(x, weight, padding=tuple(size // 2 for size in kernel), groups=groups)
    assert torch.allclose(y.flatten(1).norm(dim=1), x.flatten(1).norm(dim=1))


def test_a_flattened_convolution_does_not() -> None:
    weight = schemes.orthogonal_(torch.empty(16, 16, 3, 3), generator=seeded())
    x = torch.randn(1, 16, 9, 9, generator=seeded(1))
    y = nn.functional.conv2d(x, weight, padding=1)
    assert abs(y.norm().item() / x.norm().item() - 1) > 0.02


def test_even_kernels_have_no_centre() -> None:
    with pytest.raises(ValueError, match="odd kernel"):
        schemes.delta_orthogonal_(torch.empty(4, 4, 2, 3), generator=seeded())
    with pytest.raises(ValueError, match="equal blocks"):
        schemes.delta_orthogonal_(torch.empty(4, 4, 3, 3), generator=seeded(), groups=3)
