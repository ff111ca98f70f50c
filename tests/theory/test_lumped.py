"""Lumped units: equal block sums both ways keep units together though their rows differ (section 1.4 of the theory)."""

from functools import partial

import pytest
import torch
from torch import nn
from torch.optim import SGD, Adafactor, Adagrad, Adam, AdamW, NAdam, RMSprop

from tests.theory.networks import activations, clusters, copy_unit_, lump_, rows_of, stack, trained
from tests.theory.optimizers import Lamb, Lion

EXACT = 1e-12
BLOCKS = [[0, 1, 2], [3, 4, 5]]
BATCH = clusters(10, 3)


def lumped_net(blocks: list[list[int]] = BLOCKS) -> nn.Sequential:
    model = stack(10, 6, 6, 6, 3)
    lump_(model, blocks)
    return model


def lumped_gap(model: nn.Module, blocks: list[list[int]] = BLOCKS) -> float:
    """Largest difference of activations within a block."""
    seen = activations(model, BATCH[0])
    return max(float((h[:, block].amax(1) - h[:, block].amin(1)).max()) for h in seen for block in blocks)


def test_a_matrix_of_full_rank_can_have_redundant_units():
    model = lumped_net()
    singular = torch.linalg.svdvals(model[2].weight.detach())
    assert int(torch.linalg.matrix_rank(model[2].weight)) == 6
    assert float(singular[-1]) > 1e-3
    assert lumped_gap(trained(model, BATCH, partial(SGD, lr=0.1), steps=100)) < EXACT


def clip(model: nn.Module, *, by_value: bool) -> None:
    if by_value:
        nn.utils.clip_grad_value_(model.parameters(), 0.01)
    else:
        nn.utils.clip_grad_norm_(model.parameters(), 0.5)


def add_l1(model: nn.Module) -> None:
    for values in model.parameters():
        values.grad += 1e-3 * values.detach().sign()


def clamp(model: nn.Module) -> None:
    for values in model.parameters():
        values.clamp_(-0.5, 0.5)


def to_bf16(model: nn.Module) -> None:
    for values in model.parameters():
        values.copy_(values.bfloat16().double())


MOMENTUM = partial(SGD, lr=0.05, momentum=0.9)
KEPT = {
    "sgd": (partial(SGD, lr=0.1), {}),
    "nesterov with coupled decay": (partial(SGD, lr=0.05, momentum=0.9, nesterov=True, weight_decay=1e-3), {}),
    "clip by value": (MOMENTUM, {"before": partial(clip, by_value=True)}),
    "clip by norm": (MOMENTUM, {"before": partial(clip, by_value=False)}),
    "adam": (partial(Adam, lr=3e-3), {}),
    "amsgrad": (partial(Adam, lr=3e-3, amsgrad=True), {}),
    "nadam": (partial(NAdam, lr=3e-3), {}),
    "adamw": (partial(AdamW, lr=3e-3, weight_decay=1e-2), {}),
    "rmsprop": (partial(RMSprop, lr=1e-3), {}),
    "adagrad": (partial(Adagrad, lr=1e-2), {}),
    "lion": (partial(Lion, lr=1e-3), {}),
    "lamb": (partial(Lamb, lr=3e-3), {}),
    "adafactor": (partial(Adafactor, lr=1e-2), {}),
}
BROKEN = {
    "adam with coupled decay": (partial(Adam, lr=3e-3, weight_decay=1e-2), {}),
    "rmsprop with coupled decay": (partial(RMSprop, lr=1e-3, weight_decay=1e-2), {}),
    "adagrad with coupled decay": (partial(Adagrad, lr=1e-2, weight_decay=1e-2), {}),
    "sgd with l1": (partial(SGD, lr=0.1), {"before": add_l1}),
    "clamped weights": (partial(SGD, lr=0.1), {"after": clamp}),
    "weights rounded to bf16": (partial(SGD, lr=0.1), {"after": to_bf16}),
}


@pytest.mark.parametrize("update", KEPT)
def test_lumped_units_stay(update: str):
    optimizer, extra = KEPT[update]
    after = trained(lumped_net(), BATCH, optimizer, steps=300, **extra)
    assert lumped_gap(after) <= 1e-9
    rows = rows_of(after, 2)
    assert float((rows[0] - rows[1]).norm()) > 0.3, "the rows themselves never were equal"


@pytest.mark.parametrize("update", BROKEN)
def test_lumped_units_part(update: str):
    optimizer, extra = BROKEN[update]
    assert lumped_gap(lumped_net()) <= EXACT
    assert lumped_gap(trained(lumped_net(), BATCH, optimizer, steps=300, **extra)) >= 1e-3


@pytest.mark.parametrize("update", [name for name in BROKEN if name != "weights rounded to bf16"])
def test_twins_stay_where_lumped_units_part(update: str):
    model = stack(10, 6, 6, 6, 3)
    copy_unit_(model, 2, 0, 1)
    optimizer, extra = BROKEN[update]
    after = rows_of(trained(model, BATCH, optimizer, steps=300, **extra), 2)
    assert float((after[0] - after[1]).abs().max()) <= EXACT


def test_weight_norm_parts_lumped_units():
    model = lumped_net()
    for layer in (0, 2, 4, 6):
        nn.utils.parametrizations.weight_norm(model[layer])
    assert lumped_gap(model) <= EXACT
    assert lumped_gap(trained(model, BATCH, partial(SGD, lr=0.1), steps=300)) >= 1e-6


def test_blocks_that_a_permutation_swaps_stay_under_adam_with_coupled_decay():
    """[[a, b], [b, a]] between blocks of two: a true automorphism, so any update that commutes keeps it."""
    model = stack(10, 6, 6, 6, 3)
    pairs = [[0, 1], [2, 3], [4, 5]]
    lump_(model, pairs)
    after = trained(model, BATCH, BROKEN["adam with coupled decay"][0], steps=300)
    assert lumped_gap(after, pairs) <= 1e-9
