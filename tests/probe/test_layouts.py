"""Fans of modules against the oracle: with ones in weight and input the output is fan-in, its gradient fan-out."""

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.probe.layouts import packed_fans, weight_fans
from tests.probe.observing import Net

MODULES = {
    "linear": (nn.Linear(6, 4, bias=False), torch.ones(5, 6)),
    "convolution": (nn.Conv2d(6, 8, 3, groups=2, bias=False), torch.ones(1, 6, 9, 9)),
    "strided": (nn.Conv1d(4, 6, 4, stride=2, bias=False), torch.ones(1, 4, 40)),
    "depthwise": (nn.Conv2d(6, 12, 3, groups=6, bias=False), torch.ones(1, 6, 9, 9)),
    "transposed": (nn.ConvTranspose2d(6, 4, 4, stride=2, bias=False), torch.ones(1, 6, 12, 12)),
}


@pytest.mark.parametrize("name", MODULES)
def test_modules_agree_with_the_oracle(name):
    module, x = MODULES[name]
    nn.init.ones_(module.weight)
    x = x.clone().requires_grad_()
    output = module(x)
    output.sum().backward()
    inside = tuple(slice(size // 3, size // 3 + 4) for size in output.shape[2:])
    reached = tuple(slice(size // 3, size // 3 + 4) for size in x.shape[2:])
    fan = weight_fans(module)
    assert float(output.detach()[(slice(None), slice(None), *inside)].mean()) == pytest.approx(fan[0])
    assert float(x.grad[(slice(None), slice(None), *reached)].mean()) == pytest.approx(fan[1])


def test_packed_matrices_are_told_block_by_block():
    assert packed_fans(nn.MultiheadAttention(8, 2))["in_proj_weight"] == (8.0, 8.0, 3)
    lstm = packed_fans(nn.LSTM(5, 7, 2, proj_size=3))
    assert lstm["weight_ih_l0"] == (5.0, 7.0, 4)
    assert lstm["weight_hh_l1"] == (3.0, 7.0, 4)
    assert lstm["weight_hr_l0"] == (7.0, 3.0, 1)
    assert packed_fans(nn.Linear(3, 3)) == {}


def test_with_a_batch_the_operation_says_it():
    model = Net(lambda self, x: torch.einsum("bi,oi->bo", x, self.weight), weight=nn.Parameter(torch.ones(3, 5)))
    assert sz.fans(model) == {}
    fact = sz.fans(model, torch.ones(2, 5))["weight"]
    assert (fact.fan_in, fact.fan_out) == (5.0, 3.0)
    assert "einsum" in fact.source


def test_without_a_batch_modules_say_it():
    model = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.LSTM(3, 2))
    assert set(sz.fans(model)) == {"0.weight", "2.weight_ih_l0", "2.weight_hh_l0"}


def test_the_operation_that_multiplies_data_decides():
    model = nn.utils.spectral_norm(nn.Linear(8, 16))
    assert sz.fans(model, torch.ones(4, 8))["weight_orig"].fan_in == 8


def test_a_model_without_memory_is_told_from_its_modules():
    with torch.device("meta"):
        model = nn.Linear(8, 16)
    assert sz.fans(model, torch.ones(4, 8))["weight"].fan_in == 8
