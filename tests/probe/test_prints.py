"""One forward tells all units of a sound network apart, and nothing else does."""

import copy

import pytest
import torch
from torch import Tensor, nn

from stepzero.probe.prints import all_different, siblings
from stepzero.probe.replica import Replica
from stepzero.probe.subject import subject_of

TOLERANCE = 1e-10


def replica(model: nn.Module) -> Replica:
    batch = torch.randn(16, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return Replica(subject_of(model, batch, lambda output: output.square().mean()))


def net(seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 3)).double()


@pytest.mark.parametrize("seed", range(5))
def test_a_sound_network_has_full_widths(seed: int) -> None:
    widths = {width.parameter: (width.units, width.distinct) for width in all_different(replica(net(seed)), TOLERANCE)}
    assert widths == {"0.weight": (8, 8), "2.weight": (8, 8), "4.weight": (3, 3)}


def equal(model: nn.Sequential) -> None:
    model[0].weight[5] = model[0].weight[2]
    model[0].bias[5] = model[0].bias[2]


def mirrored(model: nn.Sequential) -> None:
    model[2].weight[1] = -3 * model[2].weight[7]
    model[2].bias[1] = -3 * model[2].bias[7]


def silent(model: nn.Sequential) -> None:
    model[2].weight.zero_()
    model[2].bias.zero_()


@pytest.mark.parametrize("plant", [equal, mirrored, silent])
def test_what_looks_alike_is_left_to_the_probe(plant: object) -> None:
    model = net()
    with torch.no_grad():
        plant(model)  # type: ignore[operator]
    assert all_different(replica(model), TOLERANCE) == ()


def doubled() -> nn.Module:
    one = nn.Linear(6, 6)
    return nn.Sequential(one, nn.Tanh(), copy.deepcopy(one), nn.Tanh(), nn.Linear(6, 2)).double()


def test_equal_content_in_two_places() -> None:
    (found,) = siblings(replica(doubled()))
    assert (found.parameters, found.is_frozen) == (("0.weight", "2.weight"), False)
    frozen = doubled()
    frozen[2].requires_grad_(False)
    (found,) = siblings(replica(frozen))
    assert found.is_frozen


@pytest.mark.parametrize("values", [torch.eye(6), torch.ones(6, 6), torch.zeros(6, 6)])
def test_patterns_are_equal_by_design(values: Tensor) -> None:
    model = doubled()
    with torch.no_grad():
        model[0].weight.copy_(values)
        model[2].weight.copy_(values)
    assert list(siblings(replica(model))) == []
