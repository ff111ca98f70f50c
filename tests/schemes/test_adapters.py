"""Low-rank adapters and fused experts."""

import math

import pytest
import torch

from stepzero import schemes
from stepzero.schemes.seeding import generator_for


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_the_first_factor_is_that_of_the_published_code() -> None:
    ours = schemes.lora_a_(torch.empty(64, 512), generator=seeded())
    theirs = torch.nn.init.kaiming_uniform_(torch.empty(64, 512), a=math.sqrt(5), generator=seeded())
    assert ours.std().item() == pytest.approx(theirs.std().item(), rel=0.02)
    assert ours.abs().max().item() <= 1 / math.sqrt(512)


@pytest.mark.parametrize("rank", [4, 64])
def test_multipliers(rank: int) -> None:
    assert schemes.lora_scale(16, rank) == 16 / rank
    assert schemes.lora_scale(16, rank, stabilised=True) == 16 / math.sqrt(rank)
    with pytest.raises(ValueError, match="rank"):
        schemes.lora_scale(16, 0)


@pytest.mark.parametrize("shape", [(4, 256, 64), (4, 64, 256)])
def test_experts_have_the_fan_of_one_in_either_layout(shape: tuple[int, int, int]) -> None:
    experts = schemes.experts_(torch.empty(shape), generator=seeded(), fan_in=256)
    for expert in experts:
        assert expert.square().mean().item() == pytest.approx(0.1 / 256, rel=0.05)
    assert not torch.equal(experts[0], experts[1])


def test_an_expert_filled_alone_does_not_depend_on_the_others() -> None:
    few, many = torch.empty(2, 8, 8), torch.empty(5, 8, 8)
    for experts in (few, many):
        for index, expert in enumerate(experts):
            schemes.experts_(expert, generator=generator_for(0, "up", expert=index), fan_in=8)
    assert torch.equal(few, many[:2])


def test_the_fan_of_an_expert_must_be_stated() -> None:
    with pytest.raises(TypeError, match="fan_in"):
        schemes.experts_(torch.empty(4, 3, 3), generator=seeded())  # type: ignore[call-arg]
    with pytest.raises(ValueError, match="each expert"):
        schemes.experts_(torch.empty(4, 3, 3), generator=seeded(), fan_in=3, distribution="orthogonal")
