import torch
from torch import nn

import stepzero
from stepzero.measure.repeats import repeats


def test_groups_follow_one_number_one_shape_and_one_role():
    block = lambda: nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 8))  # noqa: E731 - short
    model = nn.Sequential(block(), block(), nn.Linear(8, 4))
    found = {tuple(fact.name for fact in group) for group in repeats(stepzero.trace(model, torch.randn(4, 8)))}
    assert ("0.0.weight", "1.0.weight") in found
    assert ("0.0.weight", "0.2.weight") in found
    assert ("2.weight",) in found
    assert not any("weight" in group[0] and "bias" in group[-1] for group in found)
