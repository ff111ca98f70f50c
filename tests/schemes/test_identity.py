"""Identity-like schemes as maps, fixed kernels as filters, and which of them hold equal units."""

import math

import pytest
import torch
import torch.nn.functional as F

from stepzero import schemes
from stepzero.measure.redundancy import twin_groups
from stepzero.schemes.identity import centre, hadamard


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("groups", [1, 4])
def test_dirac_hands_its_input_through(groups: int) -> None:
    weight = schemes.dirac_(torch.empty(8, 8 // groups, 3, 3), groups=groups)
    x = torch.randn(2, 8, 6, 6, generator=seeded())
    assert torch.equal(F.conv2d(x, weight, padding=1, groups=groups), x)
    theirs = torch.nn.init.dirac_(torch.empty(8, 8 // groups, 3, 3), groups)
    assert torch.equal(weight, theirs)


def test_identity() -> None:
    assert torch.equal(schemes.identity_(torch.empty(3, 5), gain=2.0), 2 * torch.eye(3, 5))


@pytest.mark.parametrize("order", [0, 1, 4])
def test_hadamard_rows_are_orthogonal(order: int) -> None:
    matrix = hadamard(order)
    assert torch.equal(matrix @ matrix.T, 2**order * torch.eye(2**order))
    assert set(matrix.flatten().tolist()) <= {1.0, -1.0}


def test_zero_hadamard_by_shape() -> None:
    assert torch.equal(schemes.zero_hadamard_(torch.empty(6, 6)), torch.eye(6))
    assert torch.equal(schemes.zero_hadamard_(torch.empty(3, 6)), torch.eye(3, 6))
    wide = schemes.zero_hadamard_(torch.empty(12, 5))
    assert torch.allclose(wide, hadamard(4)[:12, :5] * 2**-1.5)
    kernel = schemes.zero_hadamard_(torch.empty(12, 5, 3, 3))
    assert torch.equal(centre(kernel), wide)
    assert int((kernel != 0).sum()) == 60


def test_idinit_repeats_the_identity() -> None:
    weight = schemes.idinit_(torch.empty(7, 3), generator=seeded(), gain=2.0)
    rows = torch.arange(7) % 3
    assert torch.allclose(weight, 2 * F.one_hot(rows, 3).float(), atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("out", "into"), [(96, 32), (32, 96), (64, 64)])
def test_no_twins_are_made(out: int, into: int, dtype: torch.dtype) -> None:
    for scheme in (schemes.idinit_, schemes.orthogonal_, schemes.suo_, schemes.he_, schemes.sparse_):
        assert twin_groups(scheme(torch.empty(out, into, dtype=dtype), generator=seeded())) == []
    assert twin_groups(schemes.identity_(torch.empty(min(out, into), into, dtype=dtype))) == []


def test_a_widening_hadamard_layer_repeats_rows_as_its_page_says() -> None:
    assert twin_groups(schemes.zero_hadamard_(torch.empty(32, 20))) == []
    groups = twin_groups(schemes.zero_hadamard_(torch.empty(32, 8)))
    assert sorted(map(tuple, groups)) == [tuple(range(row, 32, 8)) for row in range(8)]


@pytest.mark.parametrize("upscale", [2, 3])
def test_icnr_starts_as_nearest_neighbour(upscale: int) -> None:
    weight = schemes.icnr_(torch.empty(5 * upscale**2, 4, 3, 3), generator=seeded(), upscale=upscale)
    x = torch.randn(2, 4, 6, 6, generator=seeded(1))
    image = F.pixel_shuffle(F.conv2d(x, weight, padding=1), upscale)
    small = image[:, :, ::upscale, ::upscale]
    assert torch.allclose(image, small.repeat_interleave(upscale, 2).repeat_interleave(upscale, 3), atol=1e-6)
    groups = sorted(sorted(group) for group in twin_groups(weight.flatten(1)))
    assert groups == [list(range(c * upscale**2, (c + 1) * upscale**2)) for c in range(5)]


@pytest.mark.parametrize("stride", [2, 3, 4])
def test_bilinear_upsampling(stride: int) -> None:
    """Away from the borders it is the interpolation of torch, and a ramp stays a ramp."""
    size = 2 * stride - stride % 2
    weight = schemes.bilinear_up_(torch.empty(2, 1, size, size, dtype=torch.float64), groups=2)
    x = torch.randn(1, 2, 8, 8, generator=seeded(), dtype=torch.float64)
    up = F.conv_transpose2d(x, weight, stride=stride, padding=math.ceil((stride - 1) / 2), groups=2)
    there = F.interpolate(x, scale_factor=stride, mode="bilinear", align_corners=False)
    inner = slice(2 * stride, -2 * stride)
    assert up.shape == there.shape
    assert torch.allclose(up[:, :, inner, inner], there[:, :, inner, inner])


@pytest.mark.parametrize(
    "call",
    [
        lambda: schemes.identity_(torch.empty(3, 3, 3)),
        lambda: schemes.dirac_(torch.empty(3, 3)),
        lambda: schemes.dirac_(torch.empty(3, 3, 3), groups=2),
        lambda: schemes.zero_hadamard_(torch.empty(3)),
        lambda: schemes.idinit_(torch.empty(3), generator=seeded()),
        lambda: schemes.icnr_(torch.empty(6, 3, 3, 3), generator=seeded()),
        lambda: schemes.bilinear_up_(torch.empty(3, 3)),
    ],
)
def test_other_shapes_are_refused(call: object) -> None:
    with pytest.raises(ValueError, match=r"expected .*got"):
        call()  # type: ignore[operator]
