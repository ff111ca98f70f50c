"""Reading the blocks: which count, how many units they cost, and what noise would part them."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.core.symmetry import Member, SymmetryFact, UnitBlock, Width
from stepzero.core.trace import Trace
from stepzero.measure import blocks
from tests.probe.planting import X, copied, square, stack


def block(*members, level="twins"):
    return UnitBlock(level, tuple(Member(name, units) for name, units in members), 0.0)


PLAIN = trace(stack(6, 8, 8, 3), X, square)


def with_blocks(*found, seen=PLAIN):
    return replace(seen, symmetry=SymmetryFact(ran=True, blocks=found, widths=(Width("0.weight", 8, 5),)))


def test_levels_are_picked_and_frozen_weights_left_out():
    inner, other = block(("0.weight", (0, 1))), block(("2.weight", (0, 1)), level="lumped")
    across = block(("0.weight", (0,)), ("2.weight", (1,)))
    seen = with_blocks(inner, other, across)
    assert list(blocks.of_level(seen, "twins")) == [inner, across]
    assert list(blocks.of_level(seen, "twins", "lumped")) == [inner, other, across]
    assert list(blocks.of_level(seen, "mirrored")) == []
    model = stack(6, 8, 8, 3)
    model[2].requires_grad_(False)
    assert list(
        blocks.of_level(with_blocks(inner, other, across, seen=trace(model, X, square)), "twins", "lumped")
    ) == [inner]


def test_blocks_inside_a_weight_and_across_weights_are_told_apart():
    one, two = block(("a", (0, 1))), block(("a", (2, 3, 4)))
    three, four = block(("a", (5,)), ("b", (5,))), block(("a", (6,)), ("b", (6,)))
    assert blocks.by_weight([one, two, three]) == {"a": [one, two]}
    assert blocks.across([one, three, four]) == {("a", "b"): [three, four]}
    assert blocks.num_extra([one, two]) == 3
    assert blocks.num_extra([]) == 0


def test_units_are_those_the_probe_counted():
    assert blocks.num_units(with_blocks(), "0.weight") == 8
    assert blocks.num_units(with_blocks(), "nowhere") == 0


@pytest.mark.parametrize(
    ("groups", "said"),
    [
        ([(0, 8)], "units 0 and 8"),
        ([(0, 1, 2, 3)], "units 0 to 3"),
        ([(0, 1, 5)], "units 0, 1 ... 5"),
        ([(0, 1), (2, 3), (4, 5)], "units 0 and 1, 2 and 3, 4 and 5"),
        ([(0, 1), (2, 3), (4, 5), (6, 7), (8, 9)], "units 0 and 1, 2 and 3, 4 and 5 and 2 more groups"),
    ],
)
def test_words(groups, said):
    assert blocks.words([block(("a", group)) for group in groups]) == said


def part(after):
    """6-8-8-3 with a dropout after module ``after``."""
    layers = list(stack(6, 8, 8, 3))
    layers.insert(after + 1, nn.Dropout(0.25))
    return nn.Sequential(*layers)


@pytest.mark.parametrize(("after", "where"), [(0, "1"), (1, "2"), (-1, ""), (2, ""), (3, "")])
def test_dropout_counts_where_it_falls_on_the_units_themselves(after, where):
    said = blocks.breaker(trace(part(after), X, square), _weight(after))
    assert said == (f"dropout 0.25 in {where}" if where else "")


def _weight(after):
    """Name of the first linear layer, which the dropout in front of it shifts by one."""
    return "1.weight" if after == -1 else "0.weight"


def test_dropout_of_nothing_breaks_nothing():
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.0), nn.Linear(8, 3))
    assert blocks.breaker(trace(model, X, square), "0.weight") == ""


@pytest.mark.parametrize("after", [0, 1, 2, 3, -1])
def test_the_words_are_true_in_training(after):
    """Two units that are copies part under real dropout exactly where a breaker is named."""
    model = part(after)
    name = _weight(after)
    first = model.get_submodule(name.rpartition(".")[0])
    second = next(layer for layer in list(model)[int(name[0]) + 1 :] if isinstance(layer, nn.Linear))
    with torch.no_grad():
        for row in (first.weight, first.bias):
            row[5] = row[2]
        second.weight[:, 5] = second.weight[:, 2]
    model.double().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        square(model(X.double())).backward()
        optimizer.step()
    gap = float((first.weight[5] - first.weight[2]).detach().abs().max())
    assert (gap > 1e-6) == bool(blocks.breaker(trace(part(after), X, square), name))
    assert gap < 1e-12 or gap > 1e-6


def test_a_probed_trace_is_read_the_same_way():
    seen: Trace = trace(copied(stack(6, 8, 8, 3), 0, 1, 4), X, square, probes=["symmetry"])
    ((name, found),) = blocks.by_weight(blocks.of_level(seen, "twins")).items()
    assert (name, blocks.words(found), blocks.num_units(seen, name), blocks.num_extra(found)) == (
        "0.weight",
        "units 1 and 4",
        8,
        1,
    )
