"""`init_`: outputs have the scale they should have, and each kind of layer its law."""

import pytest
import torch
from torch import nn

import stepzero as sz
from tests.repair.judging import hooked
from tests.repair.starting import SEQUENCES, Recurrent, X, filled, mlp, started


def test_outputs_have_the_scale_they_should_have_in_two_forwards():
    model, plan = started("mlp")
    assert plan.forwards == 2
    seen = hooked(model, X)
    assert (seen["0"], seen["2"]) == pytest.approx((1.0, 1.0), abs=1e-4)
    assert seen["4"] < 1.0  # the head guesses
    assert all(scaling.after == pytest.approx(scaling.target, rel=1e-4) for scaling in plan.scalings)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_dtype_is_kept(dtype):
    model = mlp().to(dtype)
    sz.init_(model, X.to(dtype))
    assert all(parameter.dtype is dtype for parameter in model.parameters())
    seen = hooked(model, X.to(dtype))
    assert (seen["0"], seen["2"]) == pytest.approx((1.0, 1.0), abs=3e-2)


def test_under_autocast_the_tolerance_is_that_of_the_narrow_outputs():
    class Amp(nn.Module):
        def __init__(self):
            super().__init__()
            self.body = mlp()

        def forward(self, x):
            with torch.autocast("cpu", torch.bfloat16):
                return self.body(x).float()

    model = Amp()
    plan = sz.init_(model, X)
    assert len(plan.scalings) == 3
    assert all(parameter.dtype is torch.float32 for parameter in model.parameters())


def test_layers_of_no_width_are_listed():
    model = nn.Sequential(nn.Linear(8, 0), nn.Linear(0, 8), nn.ReLU(), nn.Linear(8, 3))
    plan = sz.init_(model, X)
    assert len(plan.entries) == 6
    assert sz.init_(model, force=True).entry("1.weight").action == "skipped"


@pytest.mark.parametrize("with_batch", [True, False])
@pytest.mark.parametrize("options", [{}, {"bias": False}, {"num_layers": 2}, {"bidirectional": True}, {"proj_size": 5}])
def test_the_forget_gate_starts_open_once(options, with_batch):
    model = filled(Recurrent(**options), SEQUENCES)
    sz.init_(model, *([SEQUENCES] if with_batch else []))
    biases = {name: values.view(4, 12) for name, values in model.body.named_parameters() if values.dim() == 1}
    for name, gates in biases.items():
        if "_ih" in name:
            total = gates + biases[name.replace("_ih", "_hh")]
            assert torch.equal(total[1], torch.ones(12))
            assert not total[[0, 2, 3]].any()
    assert bool(biases) == options.get("bias", True)


@pytest.mark.parametrize("options", [{}, {"num_layers": 2}, {"bidirectional": True}])
def test_each_recurrent_gate_is_orthogonal(options):
    model = filled(Recurrent(**options), SEQUENCES)
    sz.init_(model, SEQUENCES)
    for name, values in model.body.named_parameters():
        if "weight_hh" in name:
            for gate in values.view(4, 12, 12):
                assert torch.allclose(gate @ gate.T, torch.eye(12), atol=1e-5)


def test_a_named_scheme_for_all_weights():
    model = mlp()
    plan = sz.init_(model, X, scheme="orthogonal")
    gain = plan.entry("2.weight").gain
    assert torch.allclose(model[2].weight @ model[2].weight.T, torch.eye(16) * gain**2, atol=1e-5)
    assert plan.scalings == ()


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_numbers_of_the_batch_that_are_not_finite_are_told(bad):
    batch = X.clone()
    batch[3, 2] = bad
    plan = sz.init_(mlp(), batch)
    assert "1 of 512 numbers in 'input' are NaN or infinite" in " ".join(plan.notes)
    assert plan.scalings == ()
    assert sz.init_(mlp(), X).notes == ()
