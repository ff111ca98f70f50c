"""A start is not drawn over training, nor over one of another kind; what has not changed may be drawn again."""

import copy
import gc

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.core.errors import TargetError
from stepzero.repair import done

X = torch.randn(16, 4, generator=torch.Generator().manual_seed(0))


def test_a_model_that_nothing_was_done_to_passes():
    model = nn.Linear(4, 2)
    done.refuse(model)
    assert done.by(model) == ""


@pytest.mark.parametrize(
    "change",
    [
        lambda model: model.weight.data.add_(1.0),
        lambda model: model.load_state_dict(nn.Linear(4, 2).state_dict()),
        lambda model: setattr(model, "bias", nn.Parameter(model.bias.detach().clone())),
    ],
)
def test_a_change_is_felt(change):
    model = nn.Linear(4, 2)
    done.note(model, "init_")
    done.refuse(model)
    with torch.no_grad():
        change(model)
    with pytest.raises(TargetError, match="changed since"):
        done.refuse(model)


def test_nan_and_inference_tensors_are_no_change():
    with torch.inference_mode():
        model = nn.Linear(4, 2)
        model.weight.fill_(float("nan"))
    done.note(model, "init_")
    done.refuse(model)


def test_a_copy_is_another_model_and_a_dead_one_is_forgotten():
    model = nn.Linear(4, 2)
    done.note(model, "mup_")
    assert done.by(copy.deepcopy(model)) == ""
    count = len(done._DONE)
    del model
    gc.collect()
    assert len(done._DONE) < count


def test_init_over_mup_is_refused_without_force():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    base = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2))
    sz.mup_(model, base, X, lr=0.1)
    with pytest.raises(TargetError, match="mup_ wrote its start"):
        sz.init_(model, X)
    sz.init_(model, X, force=True)
    sz.mup_(model, base, X, lr=0.1)  # init_'s start is the model's own
    with pytest.raises(TargetError, match="mup_ was applied"):
        sz.mup_(model, base, X, lr=0.1)


def test_mup_over_init_is_allowed():
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    sz.init_(model, X)
    sz.mup_(model, nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Linear(4, 2)), X, lr=0.1)
    assert done.by(model) == "mup_"
