"""Meta tensors get memory that shows what nobody wrote."""

import pytest
import torch
from torch import nn

from stepzero.repair.materialise import materialise, still_unwritten


def on_meta(make):
    with torch.device("meta"):
        return make()


class Tied(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed, self.head = nn.Embedding(5, 4), nn.Linear(4, 5, bias=False)
        self.head.weight = self.embed.weight


class Raw(nn.Module):
    """Parameters and buffers that no method writes again."""

    def __init__(self):
        super().__init__()
        self.w = nn.Parameter(torch.zeros(3), requires_grad=False)
        self.register_buffer("count", torch.zeros((), dtype=torch.long))
        self.register_buffer("mask", torch.zeros(4, dtype=torch.bool))
        self.register_buffer("table", torch.zeros(2, 2), persistent=False)
        self.register_buffer("nothing", torch.zeros(0))


def test_a_model_with_memory_is_left():
    model = nn.Linear(3, 3)
    saved = model.weight.clone()
    assert materialise(model)[0] == ()
    assert torch.equal(model.weight, saved)


def test_torchs_own_modules_write_themselves():
    model = on_meta(lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.LSTM(4, 5), nn.LayerNorm(5)))
    fresh, _ = materialise(model)
    assert set(fresh) == set(model.state_dict())
    assert still_unwritten(model, fresh) == ()
    assert not any(tensor.is_meta for tensor in model.state_dict().values())
    assert model[1].running_var.tolist() == [1.0] * 4
    assert int(model[1].num_batches_tracked) == 0


def test_ties_and_flags_are_kept():
    model = on_meta(Tied)
    model.embed.weight.requires_grad_(False)
    materialise(model)
    assert model.head.weight is model.embed.weight
    assert isinstance(model.head.weight, nn.Parameter)
    assert not model.head.weight.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64, torch.complex64])
def test_the_dtype_is_kept(dtype):
    model = nn.Module()
    model.w = nn.Parameter(torch.zeros(3, 2, dtype=dtype, device="meta"))
    fresh, _ = materialise(model)
    assert model.w.dtype is dtype
    assert still_unwritten(model, fresh) == ("w",)


def test_what_nobody_writes_is_named():
    model = on_meta(Raw)
    fresh, _ = materialise(model)
    assert set(still_unwritten(model, fresh)) == {"w", "count", "mask", "table"}
    with torch.no_grad():
        model.w.zero_()
        model.mask.zero_()
    assert set(still_unwritten(model, fresh)) == {"count", "table"}


def test_half_written_is_unwritten():
    model = on_meta(Raw)
    fresh, _ = materialise(model)
    with torch.no_grad():
        model.w[:2] = 0.0
    assert "w" in still_unwritten(model, fresh)


def test_the_global_generator_is_left():
    state = torch.get_rng_state()
    materialise(on_meta(lambda: nn.Linear(3, 3)))
    assert torch.equal(torch.get_rng_state(), state)
