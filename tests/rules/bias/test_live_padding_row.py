import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

IDS = torch.randint(1, 50, (32, 12), generator=generator(3))


class Bag(nn.Module):
    def __init__(self, padding=0, is_tied=False):
        super().__init__()
        torch.manual_seed(0)
        self.tokens = nn.Embedding(50, 16, padding_idx=padding)
        self.head = nn.Linear(16, 50 if is_tied else 4)
        if is_tied:
            self.head.weight = self.tokens.weight

    def forward(self, ids):
        return self.head(self.tokens(ids).mean(1))


def overwritten(**options):
    model = Bag(**options)
    nn.init.normal_(model.tokens.weight)
    return model


def test_overwritten_row_is_found():
    (finding,) = ask("SZ606", overwritten(), IDS)
    assert (finding.severity, finding.where, finding.fix.is_safe) == ("warning", ("tokens.weight",), True)
    assert "row 0 stands for padding" in finding.message


def test_the_row_is_counted_from_the_front():
    (finding,) = ask("SZ606", overwritten(padding=-1), IDS)
    assert finding.message.startswith("row 49 ")
    assert finding.value == pytest.approx(
        float(overwritten(padding=-1).tokens.weight.detach()[49].square().mean().sqrt())
    )


def test_it_really_stays():
    model = overwritten()
    before = model.tokens.weight[0].clone()
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    for _ in range(3):
        optimizer.zero_grad()
        model(torch.zeros_like(IDS)).square().mean().backward()
        optimizer.step()
    assert torch.equal(before, model.tokens.weight[0])


# -- traps ----------------------------------------------------------------------------------------------------------


def test_zero_rows_and_tables_without_padding_are_silent():
    assert severities("SZ606", Bag(), IDS) == []
    assert severities("SZ606", overwritten(padding=None), IDS) == []


def test_a_row_that_is_trained_as_output_is_a_note():
    assert severities("SZ606", overwritten(is_tied=True), IDS) == ["info"]


def test_a_frozen_table_is_a_note():
    model = overwritten()
    model.tokens.weight.requires_grad_(False)
    assert severities("SZ606", model, IDS) == ["info"]


def test_a_table_read_twice_is_said_once():
    class Twice(Bag):
        def forward(self, ids):
            return self.head(self.tokens(ids).mean(1) - self.tokens(ids.flip(0)).mean(1))

    model = Twice()
    nn.init.normal_(model.tokens.weight)
    assert len(ask("SZ606", model, IDS)) == 1
