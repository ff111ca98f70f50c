import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator, severities

IDS = torch.randint(50, (8, 12), generator=generator(1))


class Net(nn.Module):
    def __init__(self, start="copied", frozen=False):
        super().__init__()
        torch.manual_seed(0)
        self.table, self.body, self.head = nn.Embedding(50, 16), nn.Linear(16, 16), nn.Linear(16, 50, bias=False)
        if start == "tied":
            self.head.weight = self.table.weight
        elif start == "copied":
            self.head.weight = nn.Parameter(self.table.weight.detach().clone())
        elif start == "constant":
            nn.init.ones_(self.table.weight)
            nn.init.ones_(self.head.weight)
        self.table.weight.requires_grad_(not frozen)

    def forward(self, ids):
        return self.head(torch.tanh(self.body(self.table(ids))))


def test_a_copy_of_the_table_in_the_head_is_a_broken_tie():
    (finding,) = ask("SZ705", Net(), IDS, lambda output: output.square().mean())
    assert (finding.severity, finding.where) == ("warning", ("table.weight", "head.weight"))


def test_it_parts_at_the_first_step():
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    model(IDS).square().mean().backward()
    optimizer.step()
    assert not torch.allclose(model.table.weight, model.head.weight, atol=1e-6)


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("start", ["tied", "own", "constant"])
def test_what_is_tied_or_differs_or_is_constant_is_silent(start):
    assert severities("SZ705", Net(start), IDS) == []


def test_a_frozen_copy_is_silent():
    assert severities("SZ705", Net(frozen=True), IDS) == []


def test_two_layers_of_equal_content_are_told_by_another_rule():
    one = nn.Linear(8, 8)
    model = nn.Sequential(one, nn.Tanh(), nn.Linear(8, 8))
    model[2].load_state_dict(one.state_dict())
    report = stepzero.check(model, torch.randn(16, 8, generator=generator(1)), select=["SZ705", "SZ209"])
    assert {finding.code for finding in report.findings} == {"SZ209"}
