"""A Plan is carried out as it says, or every bit is put back."""

import copy

import pytest
import torch
from torch import nn

from stepzero.core.errors import IncompleteError
from stepzero.core.plan import Entry, Plan
from stepzero.repair.apply import Undo, calibrated, draw, named
from stepzero.repair.calibrate import Target
from tests.repair.judging import bits, same

X = torch.randn(64, 8, generator=torch.Generator().manual_seed(1))


def plan(*entries, seed=0):
    return Plan("m", seed, entries=entries)


def drawn(name, **kwargs):
    return Entry(name, "drawn", scheme="lecun", fan_in=8.0, gain=1.0, seed_key=name, **kwargs)


def test_only_what_is_planned_is_written():
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    saved = bits(model)
    entries = (drawn("0.weight"), Entry("1.weight", "set", value=2.0), Entry("1.running_var", "set", value=3.0))
    draw(model, plan(*entries, Entry("0.bias", "kept"), Entry("1.bias", "skipped")), None)
    changed = {name for name, tensor in model.state_dict().items() if not torch.equal(tensor, saved[name])}
    assert changed == {"0.weight", "1.weight", "1.running_var"}
    assert model[1].weight.tolist() == [2.0] * 8


def test_slices_are_set_after_the_draw():
    model = nn.Embedding(6, 8)
    draw(model, plan(drawn("weight", values=((2, 3, 0.0), (4, 6, 1.5)))), None)
    assert not model.weight[2].any()
    assert bool((model.weight[4:] == 1.5).all())
    assert model.weight[3].abs().min() > 0


def test_rows_alone():
    model = nn.Embedding(6, 8)
    saved = model.weight.clone()
    draw(model, plan(Entry("weight", "set", scheme="rows", values=((2, 3, 0.0),))), None)
    assert not model.weight[2].any()
    assert torch.equal(model.weight[[0, 1, 3, 4, 5]], saved[[0, 1, 3, 4, 5]])


def test_blocks_are_drawn_apart_and_shared_with_a_plain_tensor_of_the_key():
    packed, plain = nn.Linear(8, 24), nn.Linear(8, 8)
    draw(packed, plan(drawn("weight", blocks=3)), None)
    draw(plain, plan(drawn("weight")), None)
    q, k, v = packed.weight.chunk(3)
    assert torch.equal(q, plain.weight)
    assert not torch.equal(q, k)
    assert not torch.equal(k, v)


def test_the_seed_key_decides_not_the_order():
    one, other = (nn.ModuleDict({"a": nn.Linear(8, 8), "b": nn.Linear(8, 8)}) for _ in range(2))
    entries = (drawn("a.weight"), drawn("b.weight"))
    draw(one, plan(*entries), None)
    draw(other, plan(*reversed(entries)), None)
    assert torch.equal(one["a"].weight, other["a"].weight)
    assert not torch.equal(one["a"].weight, one["b"].weight)


def test_kinks_stand_on_samples():
    model = nn.Linear(2, 50)
    draw(model, plan(Entry("bias", "set", scheme="kinks", seed_key="bias")), X[:, :2])
    distance = model(X[:, :2]).detach().abs().min(0).values
    assert bool((distance < 1e-6).all())
    assert len(model.bias.unique()) > 10


def test_kinks_without_a_sample_are_zero():
    model = nn.Linear(2, 50)
    draw(model, plan(Entry("bias", "set", scheme="kinks", seed_key="bias")), None)
    assert not model.bias.any()


def test_undo_puts_every_bit_back_also_on_an_exception():
    model = nn.Sequential(nn.Linear(8, 8), nn.BatchNorm1d(8))
    saved = bits(model)

    def spoil(*, then_raise=False):
        with torch.no_grad():
            for tensor in named(model).values():
                tensor.fill_(7)
        if then_raise:
            raise RuntimeError("not today")

    with Undo(model):
        spoil()
    assert same(model, saved)
    with pytest.raises(RuntimeError, match="not today"), Undo(model):
        spoil(then_raise=True)
    assert same(model, saved)
    with Undo(model) as undo:
        spoil()
        undo.forget()
    assert not same(model, saved)


def test_undo_keeps_ties_and_leaves_the_objects():
    model = nn.ModuleDict({"embed": nn.Embedding(5, 4), "head": nn.Linear(4, 5, bias=False)})
    model["head"].weight = model["embed"].weight
    before, pointer = model["embed"].weight, model["embed"].weight.data_ptr()
    with Undo(model):
        model["embed"].weight.data.zero_()
    assert model["head"].weight is model["embed"].weight is before
    assert before.data_ptr() == pointer


def test_calibration_writes_before_and_after_into_the_plan():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    targets = {"0.weight": Target(), "2.weight": Target(0.3)}
    done = calibrated(model, plan(), lambda: model(X), targets)
    assert done.forwards == 2
    assert [(each.name, each.target) for each in done.scalings] == [("0.weight", 1.0), ("2.weight", 0.3)]
    assert [each.after for each in done.scalings] == pytest.approx([1.0, 0.3], rel=1e-4)


def test_nothing_to_calibrate_takes_no_forward():
    assert calibrated(nn.Linear(8, 8), plan(), pytest.fail, {}) == plan()


def test_a_forward_that_is_not_the_same_twice_is_refused():
    model, calls = nn.Linear(8, 8), []

    def run():
        calls.append(1)
        return model(X * len(calls))

    saved = copy.deepcopy(model.state_dict())
    with pytest.raises(IncompleteError, match="not the same twice"), Undo(model):
        calibrated(model, plan(), run, {"weight": Target()})
    assert same(model, saved)


def test_an_autocast_around_it_sees_what_was_drawn_and_what_was_put_back():
    model = nn.Linear(4, 4)
    x = torch.ones(2, 4)
    with torch.autocast("cpu", torch.bfloat16):
        before = model(x)
        with Undo(model):
            draw(model, plan(Entry("weight", "set", value=0.0)), None)
            assert torch.equal(model(x), model.bias.bfloat16().expand(2, 4))
        assert torch.equal(model(x), before)
