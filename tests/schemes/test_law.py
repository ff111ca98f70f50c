"""Fans, modes, gains and blocks of a law."""

import math

import pytest
import torch
from torch import nn

from stepzero.schemes.law import Fans, Mode, fill_, gain_number, split


def test_fans_of_the_layout_and_fans_given() -> None:
    shape = tuple(nn.Conv2d(8, 12, 3).weight.shape)
    assert (Fans(None, None, shape).n, Fans(None, None, shape).m) == (72, 108)
    assert (Fans(5.0, None, shape).n, Fans(None, 2.5, shape).m) == (5, 2.5)


@pytest.mark.parametrize(("mode", "fan"), [("in", 4), ("out", 9), ("avg", 6.5), ("geo", 6)])
def test_modes(mode: Mode, fan: float) -> None:
    assert Fans(4.0, 9.0, (1,)).of(mode) == fan


def test_a_side_that_is_not_needed_need_not_be_known() -> None:
    assert Fans(4.0, None, (3,)).of("in") == 4
    with pytest.raises(ValueError, match="pass fan_out="):
        Fans(4.0, None, (3,)).of("avg")
    with pytest.raises(ValueError, match="positive"):
        Fans(0.0, None, (3,)).of("in")
    with pytest.raises(ValueError, match="expected one of in, out, avg, geo"):
        Fans(4.0, 4.0, (3,)).of("fan_in")  # type: ignore[arg-type]


def test_blocks_are_views_side_by_side() -> None:
    tensor = torch.zeros(12, 2)
    for index, block in enumerate(split(tensor, 3)):
        block.fill_(index)
    assert tensor[:, 0].tolist() == [0.0] * 4 + [1.0] * 4 + [2.0] * 4
    assert [len(block) for block in split(tensor, (6, 4, 2))] == [6, 4, 2]
    for blocks, words in ((5, "5 equal blocks"), ((6, 5), "sum to 11"), (0, "0 equal blocks")):
        with pytest.raises(ValueError, match=words):
            split(tensor, blocks)


def test_each_block_has_fans_of_its_own() -> None:
    tensor = torch.empty(600, 50)
    seen: list[tuple[float, float]] = []

    def std(fans: Fans) -> float:
        seen.append((fans.n, fans.m))
        return float(len(seen))

    fill_(tensor, std, generator=torch.Generator().manual_seed(0), blocks=(100, 500))
    assert seen == [(50, 100), (50, 500)]
    assert tensor[:100].std().item() == pytest.approx(1, rel=0.1)
    assert tensor[100:].std().item() == pytest.approx(2, rel=0.1)


def test_gains_as_numbers_and_as_activations() -> None:
    assert gain_number(3) == 3
    assert gain_number("relu") == pytest.approx(math.sqrt(2))
    assert gain_number(torch.sigmoid, "out") == pytest.approx(4.72265, abs=1e-5)
    assert gain_number("sigmoid", "geo") == gain_number("sigmoid")
