"""Writes into computed weights are told, writes that have an effect are not, and the patches leave no mark."""

import pytest
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrizations, parametrize
from torch.nn.utils import weight_norm as hooked_weight_norm

from stepzero.probe.writes import watched_writes


def lost(make):
    with watched_writes() as watch:
        model = make()
    return {found.name: (found.raw, found.count) for found in watch.lost(model)}


def normed(norm=parametrizations.weight_norm):
    return nn.Sequential(norm(nn.Linear(4, 8)), nn.Linear(8, 2))


RAW = ("0.parametrizations.weight.original0", "0.parametrizations.weight.original1")


@pytest.mark.parametrize(
    "write",
    [
        lambda w: w.data.normal_(0, 0.01),
        lambda w: nn.init.normal_(w, 0, 0.01),
        lambda w: nn.init.orthogonal_(w),
        lambda w: nn.init.kaiming_uniform_(w),
        lambda w: w.data.fill_(0.5),
        lambda w: w.data[:2].zero_(),
        lambda w: w.data.copy_(torch.ones(8, 4)),
    ],
)
def test_a_write_into_a_computed_weight_is_lost(write):
    def make():
        model = normed()
        write(model[0].weight)
        return model

    found = lost(make)
    assert list(found) == ["0.weight"]
    assert found["0.weight"][0] == RAW
    assert found["0.weight"][1] >= 1


def test_it_is_lost_indeed():
    model = normed()
    before = model[0].weight.detach().clone()
    model[0].weight.data.fill_(3.0)
    assert torch.equal(model[0].weight, before)


def test_the_older_weight_norm():
    def make():
        model = normed(hooked_weight_norm)
        model[0].weight.data.normal_(0, 0.01)
        return model

    assert lost(make) == {"0.weight": (("0.weight_g", "0.weight_v"), 1)}


# -- writes that have an effect -------------------------------------------------------------------------------------


def raw(model):
    nn.init.normal_(model[0].parametrizations.weight.original1)


def assigned(model):
    drawn = nn.init.normal_(torch.empty(8, 4))
    model[0].weight = drawn


def written_and_assigned(model):
    drawn = model[0].weight.detach()
    nn.init.normal_(drawn)
    model[0].weight = drawn


def elsewhere(model):
    nn.init.normal_(model[1].weight)
    nn.init.zeros_(model[0].bias)


def copied_out(model):
    model[1].weight.data[:, :4] = model[0].weight.detach()[:2]


def other_model(model):
    nn.init.normal_(normed()[0].weight)


@pytest.mark.parametrize("change", [raw, assigned, written_and_assigned, elsewhere, copied_out, other_model])
def test_a_write_with_an_effect_is_not_told(change):
    def make():
        model = normed()
        change(model)
        return model

    assert lost(make) == {}


def test_raw_tensors_of_the_older_weight_norm():
    def make():
        model = normed(hooked_weight_norm)
        nn.init.normal_(model[0].weight_v)
        return model

    assert lost(make) == {}


def test_a_parametrisation_that_returns_its_raw_tensor():
    class Same(nn.Module):
        def forward(self, weight: Tensor) -> Tensor:
            return weight

    def make():
        model = nn.Sequential(nn.Linear(4, 8))
        parametrize.register_parametrization(model[0], "weight", Same())
        nn.init.normal_(model[0].weight)
        return model

    assert lost(make) == {}


def test_a_parametrisation_taken_off_again():
    def make():
        model = normed()
        parametrize.remove_parametrizations(model[0], "weight")
        nn.init.normal_(model[0].weight)
        return model

    assert lost(make) == {}


def test_spectral_norm_and_orthogonal_build_in_silence():
    assert lost(lambda: normed(parametrizations.spectral_norm)) == {}
    assert lost(lambda: normed(parametrizations.orthogonal)) == {}


def test_the_patches_leave_no_mark_also_when_the_factory_raises():
    before = dict(vars(Tensor)), dict(vars(parametrize.ParametrizationList))
    with pytest.raises(ValueError, match="mine"), watched_writes():
        raise ValueError("mine")
    assert (dict(vars(Tensor)), dict(vars(parametrize.ParametrizationList))) == before


def test_values_are_drawn_as_without_the_watch():
    torch.manual_seed(0)
    plain = normed()[0].weight
    torch.manual_seed(0)
    with watched_writes():
        watched = normed()[0].weight
    assert torch.equal(plain, watched)
