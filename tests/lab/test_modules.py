import pytest
import torch
from torch import nn

from stepzero.core.errors import ConfigError
from stepzero.lab.modules import MODULES, Convolution


def fill(made):
    generator = torch.Generator().manual_seed(0)
    for parameter in made.parameters():
        parameter.data.normal_(0, 0.3, generator=generator)
    return made.double()


def test_a_product_over_patches_is_a_convolution():
    own = fill(Convolution(2, 5))
    x = torch.randn(3, 2, 6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    expected = nn.functional.conv2d(x, own.weight.view(5, 2, 3, 3), own.bias, padding=1)
    torch.testing.assert_close(own(x), expected)


def test_an_elman_network_is_torchs():
    made = fill(MODULES["recurrent"]((5, 3), 4, 6, 1, torch.tanh))
    rnn = nn.RNN(3, 6, batch_first=True).double()
    with torch.no_grad():
        rnn.weight_ih_l0.copy_(made.body[0].weight)
        rnn.bias_ih_l0.copy_(made.body[0].bias)
        rnn.weight_hh_l0.copy_(made.back[0].weight)
        rnn.bias_hh_l0.zero_()
    x = torch.randn(7, 15, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    torch.testing.assert_close(made(x), made.head(rnn(x.view(7, 5, 3))[0][:, -1]))


@pytest.mark.parametrize("name", MODULES)
def test_samples_do_not_mix(name):
    made = fill(MODULES[name]((4, 3), 5, 6, 2, torch.tanh))
    x = torch.randn(6, 12, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    assert made(x).shape == (6, 5)
    torch.testing.assert_close(made(x)[2:3], made(x[2:3]))


def test_a_width_that_heads_cannot_share_is_refused():
    with pytest.raises(ConfigError, match="2 heads"):
        MODULES["transformer"]((4, 3), 5, 7, 1, torch.tanh)
