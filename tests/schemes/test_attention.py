"""Attention projections in every layout, embeddings by what reads them."""

import math

import pytest
import torch

from stepzero import schemes


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("distribution", ["normal", "uniform", "truncated", "orthogonal"])
def test_packed_and_separate_projections_have_one_deviation(distribution: str) -> None:
    packed = schemes.attention_(torch.empty(3 * 128, 128), generator=seeded(), blocks=3, distribution=distribution)  # type: ignore[arg-type]
    alone = schemes.attention_(torch.empty(128, 128), generator=seeded(), distribution=distribution)  # type: ignore[arg-type]
    for block in (*packed.chunk(3), alone):
        assert block.square().mean().sqrt().item() == pytest.approx(1 / math.sqrt(128), rel=0.03)
        if distribution == "orthogonal":
            assert torch.allclose(block @ block.T, torch.eye(128), atol=1e-5)


def test_grouped_queries_have_blocks_of_unequal_width() -> None:
    packed = schemes.attention_(torch.empty(128 + 32 + 32, 128), generator=seeded(), blocks=(128, 32, 32))
    assert [block.std().item() for block in packed.split([128, 32, 32])] == pytest.approx([128**-0.5] * 3, rel=0.05)


def test_glorot_on_the_pack_as_one_matrix_is_the_trap() -> None:
    whole = schemes.glorot_(torch.empty(3 * 128, 128), generator=seeded()).square().mean().item()
    blocks = schemes.glorot_(torch.empty(3 * 128, 128), generator=seeded(), blocks=3).square().mean().item()
    assert whole / blocks == pytest.approx(0.5, rel=0.03)


def test_a_zero_query_leaves_the_other_draws_alone() -> None:
    zero = schemes.attention_(torch.empty(96, 32), generator=seeded(), blocks=3, zero_query=True)
    full = schemes.attention_(torch.empty(96, 32), generator=seeded(), blocks=3)
    assert not zero[:32].any()
    assert torch.equal(zero[32:], full[32:])


@pytest.mark.parametrize(("reader", "square"), [("norm", 1.0), ("scale", 1 / 64), ("head", 1 / 64)])
def test_what_reads_a_table_sets_its_scale(reader: str, square: float) -> None:
    table = schemes.embedding_(torch.empty(1000, 64), generator=seeded(), reader=reader)  # type: ignore[arg-type]
    assert table.square().mean().item() == pytest.approx(square, rel=0.03)


def test_padding_and_a_stated_deviation() -> None:
    table = schemes.embedding_(torch.nn.Parameter(torch.empty(1000, 64)), generator=seeded(), std=0.02, padding_idx=3)
    assert not table[3].any()
    assert table[4:].std().item() == pytest.approx(0.02, rel=0.03)
    with pytest.raises(ValueError, match="reader"):
        schemes.embedding_(torch.empty(3, 4), generator=seeded(), reader="layer")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="table"):
        schemes.embedding_(torch.empty(3), generator=seeded())
