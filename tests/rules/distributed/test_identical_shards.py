import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 32, generator=generator(7))


class Parallel(nn.Module):
    """A layer split by columns, then one split by rows, gathered from ``shards`` ranks."""

    def __init__(self, shards=4, columns=True, rows=True, bias=None, frozen=False):
        super().__init__()
        self.norm, self.up, self.down = nn.LayerNorm(32), nn.Linear(32, 64), nn.Linear(64, 4)
        size = 64 // shards
        with torch.no_grad():
            for shard in range(shards):
                part = slice(shard * size, (shard + 1) * size)
                self.up.weight[part].normal_(std=0.2, generator=generator(0 if columns else shard))
                self.down.weight[:, part] = torch.randn(4, size, generator=generator(1 if rows else 10 + shard)) / 8
            self.up.bias.zero_() if bias is None else self.up.bias.copy_(bias)
        self.requires_grad_(not frozen)

    def forward(self, x):
        return self.down(torch.relu(self.up(self.norm(x))))


@pytest.mark.parametrize(
    ("columns", "rows", "expected"),
    [(True, True, ["error"]), (True, False, ["warning"]), (False, True, []), (False, False, [])],
)
def test_which_halves_share_a_seed_decides(columns, rows, expected):
    assert severities("SZ801", Parallel(columns=columns, rows=rows), X) == expected


@pytest.mark.parametrize("shards", [2, 4, 8, 16])
def test_blocks_are_counted(shards):
    (finding,) = ask("SZ801", Parallel(shards), X)
    assert finding.where == ("up.weight",)
    assert finding.value == shards
    assert f"{shards} equal blocks of {64 // shards}" in finding.message


def test_copies_stay_copies_where_it_is_an_error():
    """The oracle: train, and compare the blocks."""
    for rows in (True, False):
        model = Parallel(rows=rows)
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
        for _ in range(5):
            optimizer.zero_grad()
            (model(X) - X[:, :4]).square().mean().backward()
            optimizer.step()
        gap = (model.up.weight[:16] - model.up.weight[16:32]).abs().max()
        assert (float(gap.detach()) < 1e-6) is rows


def test_equal_biases_of_the_shards_keep_the_blocks():
    bias = torch.randn(16, generator=generator(3)).repeat(4)
    assert severities("SZ801", Parallel(bias=bias), X) == ["error"]


def test_copies_are_told_first_and_that_they_are_equal_blocks_second():
    """From one process nobody can know why the blocks are equal: shards seeded alike, or a layer widened by copying."""
    report = stepzero.check(Parallel(), X)
    assert next(finding for finding in report.findings if finding.code == "SZ801").root == "SZ201:up.weight"


# -- traps ----------------------------------------------------------------------------------------------------------


def test_biases_that_tell_the_blocks_apart_are_silent():
    assert severities("SZ801", Parallel(bias=torch.randn(64, generator=generator(3))), X) == []


def test_replicated_tensors_are_silent():
    model = nn.Sequential(nn.Linear(32, 64), nn.LayerNorm(64), nn.ReLU(), nn.Linear(64, 4))
    nn.init.zeros_(model[0].bias)
    assert severities("SZ801", model, X) == []


def test_constant_weights_are_another_matter():
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 4))
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.zeros_(model[0].bias)
    assert severities("SZ801", model, X) == []


def test_kernels_repeated_for_a_pixel_shuffle_are_silent():
    conv = nn.Conv2d(8, 64, 3, padding=1)
    with torch.no_grad():
        conv.weight.copy_(conv.weight[::4].repeat_interleave(4, 0))
        conv.bias.zero_()
    model = nn.Sequential(conv, nn.PixelShuffle(2), nn.Flatten(), nn.Linear(16 * 64, 4))
    assert severities("SZ801", model, torch.randn(16, 8, 4, 4)) == []


def test_mirrored_and_frozen_units_are_silent():
    model = nn.Sequential(nn.Linear(32, 64, bias=False), nn.ReLU(), nn.Linear(64, 4))
    with torch.no_grad():
        model[0].weight[32:] = -model[0].weight[:32]
    assert severities("SZ801", model, X) == []
    assert severities("SZ801", Parallel(frozen=True), X) == []


def test_groups_that_read_inputs_of_their_own_are_silent():
    conv = nn.Conv1d(32, 64, 1, groups=4, bias=False)
    with torch.no_grad():
        conv.weight.copy_(conv.weight[:16].repeat(4, 1, 1))
    model = nn.Sequential(conv, nn.ReLU(), nn.AdaptiveAvgPool1d(1), nn.Flatten(), nn.Linear(64, 4))
    assert severities("SZ801", model, torch.randn(16, 8, 10).repeat(1, 4, 1)) == []
