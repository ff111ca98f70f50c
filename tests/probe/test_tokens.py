"""Tables that can be sets of tokens, and their equal rows."""

import torch
from torch import Tensor, nn

from stepzero.api import trace
from stepzero.core.trace import Trace
from stepzero.probe.tokens import (
    equal_rows,
    equal_table_rows,
    num_repeated,
    rows_of,
    score_names,
    table_names,
    weight_names,
)


class Mixed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.line = nn.Embedding(5, 4), nn.Linear(4, 4)
        self.places = nn.Parameter(torch.randn(1, 3, 4))

    def forward(self, ids: Tensor) -> Tensor:
        return self.line(self.words(ids) + self.places)


def test_weights_and_looked_up_rows_are_no_tokens() -> None:
    observed = trace(Mixed(), torch.randint(0, 5, (2, 3)))
    assert weight_names(observed.operations) == {"words.weight", "line.weight"}


def test_equal_rows_are_counted_in_the_trace() -> None:
    model = Mixed()
    assert trace(model, torch.randint(0, 5, (2, 3))).parameter("places").repeated_rows == 0
    with torch.no_grad():
        model.places[0, 2] = model.places[0, 0]
        model.line.weight[1] = model.line.weight[0]
    observed = trace(model, torch.randint(0, 5, (2, 3)))
    assert not any(fact.repeated_rows for fact in observed.parameters), "their places part them at the first step"


def test_equal_rows_that_nothing_parts_are_counted() -> None:
    class Pooled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.tokens, self.key, self.head = nn.Parameter(torch.randn(1, 4, 6)), nn.Linear(6, 6), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            keys = self.key(self.tokens.expand(len(x), 4, 6))
            out: torch.Tensor = self.head(((x[:, None] @ keys.mT).softmax(-1) @ keys)[:, 0])
            return out

    model = Pooled()
    batch = torch.randn(3, 6, generator=torch.Generator().manual_seed(0))
    assert trace(model, batch).parameter("tokens").repeated_rows == 0
    with torch.no_grad():
        model.tokens[0, 2:] = model.tokens[0, 0]
    assert trace(model, batch).parameter("tokens").repeated_rows == 2


class Scored(nn.Module):
    """Attention whose scores get a bias by head and distance, as relative positions do."""

    def __init__(self) -> None:
        super().__init__()
        self.q, self.k, self.v = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.biases = nn.Parameter(torch.zeros(2, 5, 5))

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = (each(x).unflatten(2, (2, 4)).transpose(1, 2) for each in (self.q, self.k, self.v))
        return ((q @ k.transpose(-1, -2) + self.biases).softmax(-1) @ v).transpose(1, 2).flatten(2)


def test_biases_of_scores_are_no_tokens() -> None:
    observed = trace(Scored(), torch.randn(3, 5, 8))
    assert score_names(observed.operations) == {"biases"}
    assert observed.parameter("biases").repeated_rows == 0


def test_rows_that_were_not_asked_for_are_no_copies() -> None:
    table, gradient = torch.zeros(4, 3), torch.zeros(4, 3)
    assert num_repeated(table, gradient) == 3  # of none is anything known
    gradient[:2] = 1.0
    assert num_repeated(table, gradient) == 1
    gradient[1] = 2.0
    assert num_repeated(table, gradient) == 0


def test_rows_join_the_leading_axes() -> None:
    table = torch.arange(24.0).view(2, 3, 4)
    assert rows_of(table).shape == (6, 4)
    table[1, 2] = table[0, 1]
    assert equal_rows(table) == [[1, 5]]


def test_what_is_no_table_has_no_rows() -> None:
    for tensor in (torch.ones(4), torch.ones(4, 1), torch.ones(4, 4, dtype=torch.long), torch.ones(0, 4)):
        assert equal_rows(tensor) == []


def test_looked_up_tables_name_their_equal_rows() -> None:
    model = Mixed()
    with torch.no_grad():
        model.words.weight[4] = model.words.weight[1]
    observed = trace(model, torch.randint(0, 5, (2, 3)))
    assert table_names(observed.operations) == {"words.weight"}
    fact = Trace.from_json(observed.to_json()).parameter("words.weight")
    assert (fact.equal_rows, fact.num_equal_rows) == ((4,), 1)


def test_equal_rows_of_a_table_are_all_but_the_first() -> None:
    table = torch.randn(100, 8)
    table[[90, 40]] = table[12].clone()
    table[[5, 6]] = 0.0
    table[7, :6] = table[8, :6]
    assert equal_table_rows(table) == (40, 90)
    assert equal_table_rows(torch.ones(4, 2)) == ()
