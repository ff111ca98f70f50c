"""What a seed may be, wherever one is given."""

import numpy
import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.core.errors import ConfigError
from stepzero.core.seed import checked_seed

X = torch.ones(4, 3)


@pytest.mark.parametrize("seed", [0, 7, 2**64 - 1, numpy.int64(7), torch.tensor(7)])
def test_whole_numbers(seed):
    assert checked_seed(seed) == int(seed)
    assert type(checked_seed(seed)) is int


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", None, True, torch.ones(2)])
def test_anything_else_is_told_in_one_line(seed):
    with pytest.raises(ConfigError, match="seed: expected a whole number"):
        checked_seed(seed)


@pytest.mark.parametrize(
    "call",
    [
        lambda model, seed: sz.check(model, X, seed=seed),
        lambda model, seed: sz.trace(model, X, seed=seed),
        lambda model, seed: sz.init_(model, seed=seed),
        lambda model, seed: sz.init_(model, X, seed=seed),
        lambda model, seed: sz.fix_(model, sz.check(model, X), seed=seed),
        lambda model, seed: sz.mup_(model, nn.Linear(3, 2), X, lr=0.1, seed=seed),
    ],
)
@pytest.mark.parametrize("seed", [-1, "one", 0.5])
def test_every_public_seed_is_checked(call, seed):
    with pytest.raises(ConfigError, match="seed: expected a whole number"):
        call(nn.Linear(3, 2), seed)
