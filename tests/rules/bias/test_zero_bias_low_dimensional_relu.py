import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, he, severities


def line(inputs=1, phi=nn.ReLU):
    return he(nn.Sequential(nn.Linear(inputs, 64), phi(), nn.Linear(64, 64), phi(), nn.Linear(64, 1)))


def points(inputs=1, low=-1.0):
    return torch.rand(64, inputs, generator=generator(1)) * (1 - low) + low


@pytest.mark.parametrize(("inputs", "expected"), [(1, ["warning"]), (2, ["warning"]), (3, ["warning"]), (4, [])])
def test_number_of_inputs_decides(inputs, expected):
    assert severities("SZ608", line(inputs), points(inputs)) == expected


@pytest.mark.parametrize(("low", "rank"), [(-1.0, 4), (0.0, 2)])
def test_message_holds_the_rank_of_the_kernel(low, rank):
    (finding,) = ask("SZ608", line(), points(low=low))
    assert finding.where == ("0.bias", "2.bias")
    assert f"rank at most {rank}" in finding.message


def test_rays_in_two_dimensions():
    (finding,) = ask("SZ608", line(2), points(2))
    assert "along every line" in finding.message


def test_layers_without_a_bias_are_named_by_their_weight():
    model = nn.Sequential(nn.Linear(1, 64, bias=False), nn.ReLU(), nn.Linear(64, 1))
    assert ask("SZ608", model, points())[0].where == ("0.weight",)


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("phi", [nn.Tanh, nn.GELU, nn.SiLU])
def test_smooth_activations_are_silent(phi):
    assert severities("SZ608", line(phi=phi), points()) == []


def test_default_biases_are_silent():
    model = nn.Sequential(nn.Linear(1, 64), nn.ReLU(), nn.Linear(64, 1))
    assert severities("SZ608", model, points()) == []


def test_a_constant_feature_is_a_bias():
    x = torch.cat([points(), torch.ones(64, 1)], 1)
    assert severities("SZ608", line(2), x) == []


def test_encoded_inputs_are_silent():
    class Encoded(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = line(16)
            self.register_buffer("rates", torch.randn(1, 8, generator=generator()))

        def forward(self, x):
            return self.body(torch.cat([(x @ self.rates).sin(), (x @ self.rates).cos()], 1))

    assert severities("SZ608", Encoded(), points()) == []


def test_token_ids_and_images_are_silent():
    assert severities("SZ608", nn.Sequential(nn.Embedding(9, 16), nn.ReLU(), nn.Linear(16, 1)), torch.arange(9)) == []
    model = he(nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(288, 4)))
    assert severities("SZ608", model, torch.randn(8, 1, 8, 8)) == []
