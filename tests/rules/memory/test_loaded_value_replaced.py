"""What was loaded and is not there any more; exact after the model's own cast."""

import pytest
import torch
from torch import nn

import stepzero
from stepzero.core.errors import ConfigError
from tests.rules.ask import ask, reasons

X = torch.randn(32, 16, generator=torch.Generator().manual_seed(0))


def state(dtype=torch.float32):
    draw = torch.Generator().manual_seed(1)
    shapes = {
        "0.weight": (24, 16),
        "0.bias": (24,),
        "1.weight": (24,),
        "1.bias": (24,),
        "3.weight": (4, 24),
        "3.bias": (4,),
    }
    return {name: torch.randn(shape, generator=draw).to(dtype) for name, shape in shapes.items()}


def loaded(given=None, *, dtype=torch.float32):
    model = nn.Sequential(nn.Linear(16, 24), nn.LayerNorm(24), nn.ReLU(), nn.Linear(24, 4))
    model.load_state_dict(state() if given is None else given)
    return model.to(dtype)


def found(model, reference, batch=X):
    return [finding.where for finding in ask("SZ110", model, batch, reference=reference)]


def test_silent_without_a_reference_and_where_it_is_held():
    assert ask("SZ110", loaded(), X) == []
    assert "SZ110" not in stepzero.check(loaded(), X).coverage.rules_run
    assert "SZ110" in stepzero.check(loaded(), X, reference=state()).coverage.rules_run
    assert found(loaded(), state()) == []


@pytest.mark.parametrize("name", ["0.weight", "1.bias", "3.weight"])
def test_one_number_is_enough(name):
    model = loaded()
    with torch.no_grad():
        model.get_parameter(name).view(-1)[-1] += 1e-3
    (finding,) = ask("SZ110", model, X, reference=state())
    assert (finding.where, finding.severity, finding.value) == ((name,), "error", 1.0)


def test_layers_of_one_role_are_told_together():
    blocks = nn.Sequential(*[nn.Linear(16, 16) for _ in range(4)])
    reference = {name: value.clone() for name, value in blocks.state_dict().items()}
    for block in blocks[1:3]:
        nn.init.zeros_(block.bias)
    assert found(blocks, reference) == [("1.bias", "2.bias")]


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_a_cast_is_no_change(dtype):
    assert found(loaded(dtype=dtype), state(), X.to(dtype)) == []
    assert found(loaded(state(dtype)), state(dtype)) == []


def test_rows_of_a_resized_table_are_compared_and_other_shapes_are_not():
    def model(rows, write=None):
        table = nn.Embedding(rows, 8)
        with torch.no_grad():
            table.weight[:10] = reference["0.weight"]
            if write is not None:
                table.weight[write] += 1.0
        return nn.Sequential(table, nn.Linear(8, 4))

    draw = torch.Generator().manual_seed(2)
    reference = {"0.weight": torch.randn(10, 8, generator=draw), "1.weight": torch.randn(5, 8, generator=draw)[:, :7]}
    tokens = torch.arange(12)[None] % 10
    assert found(model(14), reference, tokens) == []
    assert found(model(14, write=3), reference, tokens) == [("0.weight",)]
    assert found(model(14, write=12), reference, tokens) == []
    (why,) = reasons("SZ110", model(14), tokens, reference=reference)
    assert why == "not compared: 1.weight (the shapes differ: (5, 7) there, (4, 8) here)"


def test_buffers_count_and_nan_is_nan():
    model = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8))
    reference = {name: value.clone() for name, value in model.state_dict().items()}
    reference["1.running_mean"] += 1.0
    assert found(model, reference) == [("1.running_mean",)]
    model[1].running_mean.fill_(torch.nan)
    reference["1.running_mean"].fill_(torch.nan)
    assert found(model, reference) == []


@pytest.mark.parametrize(
    "wrap", [lambda s: {"state_dict": s, "epoch": 3}, lambda s: {f"module.{k}": v for k, v in s.items()}]
)
def test_checkpoints_and_wrappers_are_looked_into(wrap):
    assert found(loaded(), wrap(state())) == []
    model = loaded()
    nn.init.zeros_(model[0].weight)
    assert found(model, wrap(state())) == [("0.weight",)]


@pytest.mark.parametrize(
    ("reference", "message"),
    [
        ({"other.weight": torch.ones(2)}, "reference: none of its 1 keys (first: 'other.weight') names a parameter"),
        ({}, "reference: expected a state dict, names to tensors, got dict"),
        ({"epoch": 3}, "reference: expected a state dict, names to tensors, got a dict of 1 without tensors"),
        ([1], "reference: expected a state dict, names to tensors, got list"),
    ],
)
def test_bad_references_get_one_line(reference, message):
    with pytest.raises(ConfigError) as raised:
        stepzero.check(loaded(), X, reference=reference)
    assert str(raised.value).startswith(message)


def test_the_first_batch_norm_update_of_the_check_itself_is_not_seen():
    """A forward in train mode moves running statistics; the comparison is made with the model as it was given."""
    model = nn.Sequential(nn.Linear(16, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Linear(8, 4))
    assert found(model, {name: value.clone() for name, value in model.state_dict().items()}) == []
