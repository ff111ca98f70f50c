"""`init_`: what is refused, and what meta and lazy tensors get."""

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.core.errors import ConfigError, IncompleteError, StepzeroError, TargetError
from tests.repair.judging import bits, same
from tests.repair.starting import ALL, ReZero, X, mlp


def test_a_wrong_scheme_says_what_exists():
    with pytest.raises(ConfigError, match="did you mean 'glorot'"):
        sz.init_(mlp(), X, scheme="glorott")


def test_no_module():
    with pytest.raises(TargetError, match="expected a torch"):
        sz.init_([1, 2], X)


def test_no_batch_says_so():
    assert any("no batch" in note for note in sz.init_(mlp()).notes)


def test_a_batch_that_does_not_fit_leaves_every_bit():
    model = mlp()
    saved = bits(model)
    with pytest.raises((StepzeroError, RuntimeError)):
        sz.init_(model, X[:, :3])
    assert same(model, saved)


def test_a_lazy_layer_has_to_run_once():
    with pytest.raises(sz.TargetError, match="weight is lazy"):
        sz.init_(nn.LazyLinear(2), torch.ones(3, 4))


def test_a_pattern_that_keeps_nothing_is_a_slip():
    with pytest.raises(sz.ConfigError, match=r"keep: 'encoder\.\*' matches no parameter"):
        sz.init_(nn.Linear(4, 2), torch.ones(3, 4), keep=["encoder.*"])


@pytest.mark.parametrize("name", [name for name in ALL if name not in ("adapted", "recurrent", "tied", "rezero")])
def test_a_model_on_the_meta_device_starts_as_the_one_in_memory(name):
    make = ALL[name][0]
    with torch.device("meta"):
        model = make()
    eager = make()
    sz.init_(eager)
    sz.init_(model)
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    undefined = {entry.name for entry in sz.init_(eager, force=True).entries if entry.action in ("kept", "skipped")}
    for key, tensor in model.state_dict().items():
        if key not in undefined:
            assert torch.equal(tensor, eager.state_dict()[key]), key
        assert bool(torch.isfinite(tensor).all())


def test_a_raw_parameter_on_the_meta_device_that_nobody_writes_is_refused():
    with torch.device("meta"):
        model = ReZero()
    with pytest.raises(IncompleteError, match="nobody wrote alpha"):
        sz.init_(model)


def test_a_dry_run_or_a_failure_leaves_meta_tensors_on_meta():
    with torch.device("meta"):
        model = nn.Linear(4, 2)
    sz.init_(model, torch.ones(3, 4), dry_run=True)
    assert model.weight.is_meta
    with pytest.raises(RuntimeError):
        sz.init_(model, torch.ones(3, 5))
    assert model.weight.is_meta
    assert isinstance(model.weight, nn.Parameter)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"scheme": 3}, "scheme: no scheme 3; see sz.schemes.names"),
        ({"scheme": None}, "scheme: no scheme None"),
        ({"keep": 3}, "keep: expected patterns of parameter names, as in 'encoder.*', got 3"),
        ({"keep": ["0.*", None]}, "got None"),
        ({"keep": "abc"}, "keep: 'abc' matches no parameter"),
        ({"seed": "one"}, "seed: expected a whole number"),
    ],
)
def test_odd_arguments_are_told_in_one_line(given, told):
    with pytest.raises(ConfigError) as caught:
        sz.init_(mlp(), X, **given)
    assert told in str(caught.value)
    assert "\n" not in str(caught.value)


def test_where_nothing_was_written_a_note_says_so():
    assert sz.init_(nn.ReLU(), X).notes == ("the model has no parameters: there is nothing to initialise",)
    assert (
        "no parameter was written; of the first, 0.weight: frozen" in sz.init_(mlp().requires_grad_(False), X).notes[-1]
    )
    assert sz.init_(mlp(), X).notes == ()


def test_a_lazy_layer_without_a_batch_is_listed():
    plan = sz.init_(nn.Sequential(nn.LazyLinear(4), nn.Linear(4, 2)))
    assert "lazy" in plan.entry("0.weight").why
    assert plan.entry("1.weight").action == "drawn"
