import pytest
import torch

from stepzero.core.errors import ConfigError
from stepzero.lab import activations
from stepzero.measure.slope import slope_at

Z = torch.linspace(-6, 6, 1001, dtype=torch.float64)  # holds zero: slopes at a kink are torch's own


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_the_slope_is_the_derivative(name):
    phi = activations.get(name)
    torch.testing.assert_close(phi.slope(Z, phi.value(Z)), slope_at(phi.value, Z), rtol=1e-11, atol=1e-13)


@pytest.mark.parametrize("name", activations.ACTIVATIONS)
def test_bounded_means_flat_on_both_sides(name):
    phi, far = activations.get(name), torch.tensor([-1e4, 1e4], dtype=torch.float64)
    assert phi.is_bounded == bool((phi.slope(far, phi.value(far)).abs() < 1e-6).all())


def test_numbers_are_places_in_the_list():
    assert [each.number for each in activations.ACTIVATIONS.values()] == list(range(len(activations.ACTIVATIONS)))


def test_lecuns_tanh_maps_one_to_one():
    one = torch.ones(1, dtype=torch.float64)
    torch.testing.assert_close(activations.get("lecun_tanh").value(one), one, rtol=0, atol=1e-4)


def test_a_wrong_name_says_which_is_near():
    with pytest.raises(ConfigError, match="did you mean 'tanh'"):
        activations.get("tahn")
