import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.homogeneous import cones


def net(*parts):
    model = nn.Sequential(*parts)
    for module in model.modules():
        if isinstance(module, nn.Linear) and module.bias is not None:
            nn.init.zeros_(module.bias)
    return model


def deep(phi=nn.ReLU, inputs=1):
    return net(nn.Linear(inputs, 16), phi(), nn.Linear(16, 16), phi(), nn.Linear(16, 1))


def found(model, x=None, most=3):
    return list(cones(trace(model, torch.randn(32, 1) if x is None else x), most))


def kernel_rank(model, x):
    """The oracle: rank of the empirical tangent kernel in float64."""
    model, rows = model.double(), []
    for sample in x.double():
        gradients = torch.autograd.grad(model(sample[None]).sum(), list(model.parameters()))
        rows.append(torch.cat([gradient.flatten() for gradient in gradients]))
    values = torch.linalg.svdvals(torch.stack(rows))
    return int((values > 1e-9 * values[0]).sum())


@pytest.mark.parametrize("phi", [nn.ReLU, nn.LeakyReLU])
def test_a_cone_has_a_kernel_of_rank_four_and_two_on_half_a_line(phi):
    model, x = deep(phi), torch.linspace(-1, 1, 40)[:, None]
    (cone,) = found(model)
    assert (cone.dimensions, len(cone.layers), len(cone.kinks), cone.is_whole) == (1, 2, 2, True)
    assert kernel_rank(model, x) <= 4
    assert kernel_rank(model, x[x[:, 0] > 0]) <= 2


def test_a_moved_kink_makes_it_rich_again():
    model = deep()
    nn.init.uniform_(model[0].bias, -1, 1, generator=torch.Generator().manual_seed(5))
    assert found(model) == []
    assert kernel_rank(model, torch.linspace(-1, 1, 40)[:, None]) > 8


def test_the_bias_of_the_last_layer_moves_no_kink():
    model = deep()
    nn.init.ones_(model[4].bias)
    assert len(found(model)) == 1


@pytest.mark.parametrize("phi", [nn.Tanh, nn.GELU, nn.SiLU, nn.Softplus])
def test_curved_activations_are_no_cones(phi):
    assert found(deep(phi)) == []


def test_a_last_squashing_leaves_the_cone():
    (cone,) = found(net(*deep(), nn.Sigmoid()))
    assert cone.is_whole


@pytest.mark.parametrize("norm", [nn.LayerNorm(16), nn.BatchNorm1d(16)])
def test_a_norm_before_the_first_kink_is_no_cone_and_one_behind_it_cuts(norm):
    assert found(net(nn.Linear(1, 16), norm, nn.ReLU(), nn.Linear(16, 1))) == []
    (cone,) = found(net(nn.Linear(1, 16), nn.ReLU(), norm, nn.Linear(16, 1)))
    assert not cone.is_whole


def test_many_inputs_and_encoded_inputs_are_no_cones():
    assert found(deep(inputs=4), torch.randn(32, 4)) == []

    class Encoded(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = deep(inputs=2)

        def forward(self, x):
            return self.body(torch.cat([x.sin(), x.cos()], 1))

    assert found(Encoded()) == []


def test_a_signal_from_elsewhere_moves_the_kinks():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = net(nn.Linear(1, 16)), nn.Linear(8, 16), nn.Linear(16, 1)

        def forward(self, x, y):
            return self.head(F.relu(self.a(x) + self.b(y)))

    assert found(Two(), (torch.randn(32, 1), torch.randn(32, 8))) == []


def test_added_positions_move_the_kinks():
    class Placed(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.places, self.head = net(nn.Linear(1, 16)), nn.Parameter(torch.randn(5, 16)), nn.Linear(16, 1)

        def forward(self, x):
            return self.head(F.relu(self.a(x) + self.places))

    assert found(Placed(), torch.randn(32, 5, 1)) == []


def test_skips_keep_the_cone():
    class Skip(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.head = net(nn.Linear(1, 16)), net(nn.Linear(16, 16)), nn.Linear(16, 1)

        def forward(self, x):
            h = F.relu(self.a(x))
            return self.head(h + F.relu(self.b(h)))

    (cone,) = found(Skip())
    assert len(cone.layers) == 2
