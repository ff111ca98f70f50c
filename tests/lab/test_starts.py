import pytest
import torch

from stepzero import schemes
from stepzero.core.errors import ConfigError
from stepzero.lab import program, starts

BUILT = program.mlp(20, [64, 64], 5, "tanh")


def start(weights="lecun", gain=1.0, biases="zero", bias_scale=0.0, seed=0, built=BUILT):
    return starts.start(built, weights=weights, gain=gain, biases=biases, bias_scale=bias_scale, seed=seed)


def weight(numbers, index):
    layer = BUILT.layers[index]
    return numbers[layer.offset : layer.bias].view(layer.rows, layer.columns)


@pytest.mark.parametrize("law", starts.WEIGHTS)
def test_seeds_give_different_starts_only_where_there_is_randomness(law):
    one, same, other = (start(law, seed=seed) for seed in (0, 0, 1))
    assert torch.equal(one, same)
    assert torch.equal(one, other) != starts.is_random(law, 1.0, "zero", 0.0)
    assert not one[BUILT.used :].any()


def test_a_layer_is_the_scheme_of_its_name_with_the_gain_of_its_activation():
    own = torch.empty(64, 64)
    schemes.lecun_(own, generator=schemes.generator_for(3, "body.1.weight"), gain=torch.tanh)
    torch.testing.assert_close(weight(start(gain=0.5, seed=3), 1), own * 0.5)


def test_the_head_has_no_activation_and_so_no_gain():
    numbers = torch.stack([weight(start(seed=seed), 2) for seed in range(40)])
    assert abs(float(numbers.std()) * 8 - 1) < 0.05


def test_constants_are_the_numbers_told():
    numbers = start("constant", 0.3, "constant", -0.2)
    assert (weight(numbers, 0) == 0.3).all()
    layer = BUILT.layers[0]
    assert (numbers[layer.bias : layer.bias + layer.rows] == -0.2).all()


def test_random_biases_have_the_deviation_told():
    layer = BUILT.layers[1]
    found = torch.stack([start(biases="random", bias_scale=0.5, seed=seed) for seed in range(60)])
    assert abs(float(found[:, layer.bias : layer.bias + layer.rows].std()) / 0.5 - 1) < 0.05


def test_a_deeper_network_keeps_the_draws_of_its_lower_layers():
    deeper = program.mlp(20, [64, 64, 64], 5, "tanh")
    size = 64 * 21 + 64 * 65
    assert torch.equal(start()[:size], start(built=deeper)[:size])


@pytest.mark.parametrize(("kind", "word"), [("weights", "lecunn"), ("biases", "zeros")])
def test_a_wrong_law_is_refused_by_name(kind, word):
    with pytest.raises(ConfigError, match=f"{kind}.*{word}"):
        start(**{kind: word})
