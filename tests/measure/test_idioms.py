"""All idioms of one model together, and those that are facts rather than zeros."""

import copy

import pytest
import torch
from torch import nn

import stepzero
from stepzero.api import trace
from stepzero.core.limits import Limits
from stepzero.core.trace import Trace
from stepzero.measure.idioms import accepted
from tests.rules.pairs import products


def found(model, batch, loss=None):
    record = trace(model, batch, loss, probes=("symmetry", "wake"))
    return {each.idiom: each for each in accepted(record, Limits())}


class Words(nn.Module):
    def __init__(self, *, tied=False, padding=0.0):
        super().__init__()
        self.embed, self.head = nn.Embedding(9, 8, padding_idx=0), nn.Linear(8, 9, bias=False)
        nn.init.constant_(self.embed.weight[0].detach(), padding)
        if tied:
            self.head.weight = self.embed.weight

    def forward(self, ids):
        return self.head(torch.tanh(self.embed(ids)))


IDS = torch.tensor([[0, 1, 2, 3], [4, 5, 0, 0]])


def test_a_zero_padding_row():
    assert "row 0 stands for padding" in found(Words(), IDS)["padding row"].why
    assert found(Words(padding=0.5), IDS) == {}


def test_a_padding_row_that_the_tied_head_trains_is_not_excluded():
    said = found(Words(tied=True), IDS)
    assert list(said) == ["tied weights"]
    assert said["tied weights"].where == ("embed.weight", "head.weight")


def test_equal_content_is_no_tie():
    model = Words()
    model.head.weight = nn.Parameter(model.embed.weight.detach().clone())
    assert "tied weights" not in found(model, IDS)


class Student(nn.Module):
    def __init__(self, *, is_frozen):
        super().__init__()
        self.online = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
        self.target = copy.deepcopy(self.online).requires_grad_(not is_frozen)

    def forward(self, x):
        return self.online(x) - self.target(torch.flip(x, (1,)))


def test_a_frozen_copy():
    said = found(Student(is_frozen=True), torch.randn(32, 8))["frozen copy"]
    assert {said.where[0].split(".")[0], said.where[1].split(".")[0]} == {"online", "target"}
    assert said.where[0].startswith("online"), "the one that trains comes first"
    assert "frozen copy" not in found(Student(is_frozen=False), torch.randn(32, 8))


def test_a_plain_network_has_none():
    assert found(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4)), torch.randn(32, 8)) == {}


def test_names_say_nothing():
    """The same networks under names that say the opposite give the same idioms."""

    class Named(nn.Module):
        def __init__(self, first, second):
            super().__init__()
            self.names = first, second
            torch.manual_seed(0)
            self.add_module(first, nn.Linear(8, 8))
            self.add_module(second, nn.Linear(8, 8, bias=False))
            nn.init.zeros_(self.get_parameter(f"{second}.weight"))

        def forward(self, x):
            first, second = (self.get_submodule(name) for name in self.names)
            return first(x + second(x))

    for names in (("lora_B", "layer"), ("layer", "lora_B"), ("zero_head", "hidden")):
        (said,) = found(Named(*names), torch.randn(32, 8)).values()
        assert (said.idiom, said.where) == ("identity branch", (f"{names[1]}.weight",))


def test_a_trace_read_back_says_the_same():
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, 4))
    nn.init.zeros_(model[2].weight)
    record = trace(model, torch.randn(16, 8), lambda output: output[:, 0].square().mean(), probes=("symmetry", "wake"))
    assert list(accepted(Trace.from_json(record.to_json()), Limits())) == list(accepted(record, Limits()))


def test_nothing_is_accepted_of_a_model_without_a_backward_pass():
    model = nn.Sequential(nn.Linear(8, 4)).requires_grad_(False)
    nn.init.zeros_(model[0].weight)
    assert stepzero.check(model, torch.randn(4, 8)).coverage.accepted == ()


def pair_sides(pair):
    yield from (("fault", fault.make) for fault in pair.faults)
    yield from (("sound", sound.make) for sound in pair.sounds)


ZEROS = [(pair.symptom, side, make) for pair in products.ALL for side, make in pair_sides(pair)]


@pytest.mark.parametrize(("symptom", "side", "make"), ZEROS, ids=lambda value: value if isinstance(value, str) else "")
def test_the_sound_side_of_each_pair_is_named_and_the_fault_never(symptom, side, make):
    torch.manual_seed(0)
    model, batch, loss = make()
    said = stepzero.check(model, batch, loss).coverage.accepted
    zero = {name for name, value in model.named_parameters() if not value.any() and not name.endswith("bias")}
    assert {place for each in said for place in each.where} == (zero if side == "sound" else set()), symptom
