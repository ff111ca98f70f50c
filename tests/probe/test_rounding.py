"""Sizes of slices, and the floor under which a gradient is what rounding left of others."""

import pytest
import torch

from stepzero.probe import rounding


@pytest.mark.parametrize(
    ("gradient", "sizes"),
    [
        (torch.tensor([3.0, -4.0]), [3.0, 4.0]),
        (torch.tensor([[1.0, -2.0], [0.0, 0.0]]), [2.0, 0.0]),
        (torch.tensor([[3.0 + 4.0j, 0.0]]), [5.0]),
        (torch.tensor(-7.0), [7.0]),
        (torch.full((2, 3), 1e-30), [1e-30, 1e-30]),  # whose squares are zero in float32
    ],
)
def test_a_slice_is_as_large_as_its_largest_entry(gradient, sizes):
    assert rounding.slice_norms(gradient).tolist() == pytest.approx(sizes)


def test_faint_is_what_is_not_zero_and_below_the_limit_among_those_asked_for():
    sizes = {"a": torch.tensor([0.0, 1.0]), "b": torch.tensor([1e-7, 1.0]), "c": torch.tensor([1e-7]), "d": None}
    assert rounding.largest(sizes) == 1.0
    assert rounding.faint(sizes, 1e-6, ["a", "b", "d"]) == ["b"]
    assert rounding.largest({"d": None, "e": torch.zeros(0)}) == 0.0


def test_a_third_of_the_loss_gives_a_third_of_a_signal_and_another_rounding():
    signal = torch.tensor([1.0, 2.0])
    left, other = torch.tensor([1e-8, -2e-8]), torch.tensor([2e-8, 1e-8])
    assert rounding.floor(signal, signal / 3) < 1e-6
    least = rounding.floor(left, other)
    assert least == pytest.approx(8 * 5e-8)
    told = rounding.told_apart(torch.tensor([1e-8, 0.0, 1.0]), least)
    assert told is not None
    assert told.tolist() == pytest.approx([-1e-8, 0.0, 1.0])
    assert rounding.floor(None, other) == 0.0
    assert rounding.told_apart(None, 1.0) is None
