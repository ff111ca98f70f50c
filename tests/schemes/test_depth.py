"""Factors by depth: what they are for, on random walks of branches, and the stated constants at one size."""

import math

import pytest

from stepzero import schemes
from stepzero.schemes.depth import Residual


def stream_growth(stds: list[float]) -> float:
    """Second moment at the end of a stream that starts at 1, when branch i adds stds[i] times its own second moment."""
    square = 1.0
    for std in stds:
        square *= 1 + std**2
    return square


@pytest.mark.parametrize("branches", [2, 24, 1000])
def test_branches_by_the_root_of_their_number_grow_the_stream_by_e_at_most(branches: int) -> None:
    assert 2 <= stream_growth([schemes.depth_gpt2(1.0, branches)] * branches) <= math.e
    assert schemes.depth_mup(branches) == schemes.depth_gpt2(1.0, branches)


def test_by_index_early_blocks_shrink_less_and_the_last_as_in_gpt2() -> None:
    stds = [schemes.depth_index(0.02, index) for index in range(12)]
    assert stds[0] == 0.02 / math.sqrt(2)
    assert stds == sorted(stds, reverse=True)
    assert stds[-1] == pytest.approx(schemes.depth_gpt2(0.02, 24))


@pytest.mark.parametrize("layers", [2, 3, 4])
def test_fixup_bounds_the_update_of_a_branch(layers: int) -> None:
    """k - 1 scaled layers in front of the zero one: the product of their factors is L^(-1/2)."""
    assert schemes.fixup(50, layers) ** (layers - 1) == pytest.approx(50**-0.5)


def test_small_init_is_glorot_for_the_widening_matrix() -> None:
    assert schemes.small_init(256) ** 2 == pytest.approx(2 / (256 + 4 * 256))
    assert schemes.wang(256, 12) == pytest.approx(2 / (12 * 16))


def test_stated_constants() -> None:
    assert schemes.t_fixup(6, part="encoder") == pytest.approx(0.67 * 6**-0.25)
    assert schemes.t_fixup(6, part="decoder") == schemes.t_fixup(6, part="embedding") == pytest.approx(54**-0.25)
    assert schemes.deepnorm(8) == pytest.approx(Residual(2.0, 64**-0.25))
    encoder, decoder = schemes.deepnorm_pair(16, 16)
    assert encoder == pytest.approx(Residual(0.81 * 16 ** (5 / 16), 0.87 * 16 ** (-5 / 16)))
    assert decoder == pytest.approx(Residual(48**0.25, 192**-0.25))
    assert schemes.subln(6) == pytest.approx(math.sqrt(math.log(12)))
    assert schemes.subln_pair(6, 3) == pytest.approx(
        (math.sqrt(math.log(9) * math.log(12) / 3), math.sqrt(math.log(9)))
    )
    assert [schemes.layerscale(depth) for depth in (1, 18, 19, 24, 25)] == [0.1, 0.1, 1e-5, 1e-5, 1e-6]


def test_deepnorm_balances_stream_and_branch() -> None:
    """alpha beta^(-1) grows with the root of the depth, so that one update moves the output as little at any depth."""
    for blocks in (2, 50, 500):
        alpha, beta = schemes.deepnorm(blocks)
        assert alpha / beta == pytest.approx(2 * math.sqrt(blocks))


def test_admin_from_profiles() -> None:
    assert schemes.admin([]) == ()
    assert schemes.admin([1.0, 3.0, 5.0]) == pytest.approx((1.0, 1.0, 2.0))
    assert schemes.admin_closed(1) == pytest.approx(math.sqrt(2 / math.log(2) - 1))
    assert schemes.admin_closed(100) > schemes.admin_closed(10)


WRONG = [
    lambda: schemes.depth_gpt2(0.02, 0),
    lambda: schemes.depth_index(0.02, -1),
    lambda: schemes.fixup(10, 1),
    lambda: schemes.t_fixup(6, part="head"),  # type: ignore[arg-type]
    lambda: schemes.admin([-1.0]),
    lambda: schemes.layerscale(0),
]


@pytest.mark.parametrize("call", WRONG)
def test_wrong_numbers(call: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        call()  # type: ignore[operator]
