"""The write record names the function, its line and what it left, and takes no dead tensor for a parameter."""

from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from stepzero.probe.build import build
from stepzero.probe.writes import watched_writes

X = torch.randn(4, 8)


def told(make):
    """(kind, writer, is_whole, is_torch) of every write, by parameter."""
    record = build(lambda: (make(), X)).writes
    assert record.ran
    return {
        each.parameter: [(w.kind, w.writer.rpartition(".")[2], w.is_whole, w.is_torch) for w in each.writes]
        for each in record.parameters
    }


DEFAULT = ("draw", "reset_parameters", True, True)


def written(write):
    def make():
        model = nn.Sequential(nn.Linear(8, 8))
        write(model[0])
        return model

    return told(make)


def shapeless(tensor):
    """A helper that is handed the tensor: whoever called it wrote."""
    return nn.init.trunc_normal_(tensor, std=0.02)


@pytest.mark.parametrize(
    ("write", "kind"),
    [
        (lambda m: nn.init.normal_(m.weight), "draw"),
        (lambda m: nn.init.orthogonal_(m.weight), "draw"),
        (lambda m: nn.init.kaiming_uniform_(m.weight), "draw"),
        (lambda m: nn.init.trunc_normal_(m.weight), "draw"),
        (lambda m: shapeless(m.weight), "draw"),
        (lambda m: m.weight.data.uniform_(-1, 1), "draw"),
        (lambda m: nn.init.zeros_(m.weight), "zeros"),
        (lambda m: m.weight.data.fill_(1.0), "ones"),
        (lambda m: nn.init.constant_(m.weight, -4.6), "constant"),
        (lambda m: m.weight.data.copy_(torch.eye(8)), "values"),
        (lambda m: m.weight.data.copy_(torch.empty(8, 8).normal_()), "draw"),
        (lambda m: m.weight.data.mul_(0.5), "change"),
    ],
)
def test_a_write_is_one_entry_of_its_kind_under_the_function_that_asked_for_it(write, kind):
    found = written(write)["0.weight"]
    assert [entry[0] for entry in found if entry[0] != "change" or kind == "change"] == ["draw", kind]
    assert found[0] == DEFAULT
    assert found[-1][1:] == ("<lambda>", True, False)


def test_a_slice_is_a_part_and_everything_is_the_whole():
    def part(module):
        with torch.no_grad():
            module.bias[2:4].fill_(1.0)
            module.bias[0] = 7.0
            module.bias[...] = torch.arange(8.0)

    assert written(part)["0.bias"] == [
        DEFAULT,
        ("ones", "part", False, False),
        ("constant", "part", False, False),
        ("values", "part", True, False),
    ]


def test_loading_is_told_from_copying():
    def load(module):
        module.load_state_dict({name: each.clone() for name, each in module.state_dict().items()})

    assert written(load)["0.weight"] == [DEFAULT, ("loaded", "_load_from_state_dict", True, True)]


def test_a_method_is_named_with_its_class_and_its_line():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 8)
            self.apply(self.draw)

        def draw(self, module):
            if isinstance(module, nn.Linear):
                nn.init.normal_(module.weight)

        def forward(self, x):
            return self.fc(x)

    record = build(lambda: (Net(), X)).writes
    write = next(each for each in record.parameters if each.parameter == "fc.weight").writes[-1]
    assert write.writer.endswith("Net.draw")
    path, line = write.source_line.rsplit(":", 1)
    assert path == "tests/probe/test_journal.py"
    assert "nn.init.normal_(module.weight)" in Path(__file__).read_text().splitlines()[int(line) - 1]


def test_a_tensor_that_was_thrown_away_is_not_taken_for_the_parameter_in_its_place():
    def make():
        model = nn.Module()
        for _ in range(50):
            torch.empty(64, 64).normal_()
        model.weight = nn.Parameter(torch.zeros(64, 64))
        model.forward = lambda x: x
        return model

    assert told(make) == {}


def test_a_tied_parameter_has_one_history_and_a_copy_has_its_own():
    def make():
        model = nn.Sequential(nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8))
        model[1].weight = model[0].weight
        with torch.no_grad():
            model[2].weight.copy_(model[0].weight)
        return model

    found = told(make)
    assert "1.weight" not in found
    assert [entry[0] for entry in found["0.weight"]] == ["draw"]
    assert [entry[0] for entry in found["2.weight"]] == ["draw", "draw"]


def test_without_a_factory_there_is_no_record_and_methods_are_as_before():
    before = {name: getattr(Tensor, name) for name in ("normal_", "copy_", "__setitem__")}
    with watched_writes():
        assert Tensor.normal_ is not before["normal_"]
    assert {name: getattr(Tensor, name) for name in before} == before
    assert "__setitem__" not in vars(Tensor)
