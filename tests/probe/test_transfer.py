"""The ledger gives back every number that was put in, exactly, under its ticket."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from stepzero.probe.transfer import Ledger, vector
from tests.probe.observing import seeded

DTYPES = [torch.float32, torch.float64, torch.float16, torch.bfloat16, torch.int64, torch.bool]


@settings(max_examples=40)
@given(st.lists(st.tuples(st.lists(st.integers(0, 4), max_size=3), st.sampled_from(DTYPES)), max_size=8))
def test_tickets_lead_to_what_was_put_in(pieces: list[tuple[list[int], torch.dtype]]) -> None:
    ledger = Ledger()
    tensors = [(seeded(*shape, seed=number) * 9).to(dtype) for number, (shape, dtype) in enumerate(pieces)]
    tickets = [ledger.put(tensor) for tensor in tensors]
    ledger.fetch()
    for ticket, tensor in zip(tickets, tensors, strict=True):
        assert torch.equal(ledger.tensor(ticket), tensor.double().flatten())


def test_numbers_that_are_not_finite_and_signs_of_zero_survive() -> None:
    ledger = Ledger()
    ticket = ledger.put(torch.tensor([math.nan, math.inf, -math.inf, -0.0, 5e-324], dtype=torch.float64))
    ledger.fetch()
    values = ledger.tensor(ticket).tolist()
    assert math.isnan(values[0])
    assert values[1:] == [math.inf, -math.inf, -0.0, 5e-324]
    assert math.copysign(1, values[3]) == -1


def test_what_is_put_in_is_the_value_at_that_time_or_the_graph_is_cut() -> None:
    tensor = torch.ones(3, requires_grad=True)
    ledger = Ledger()
    number = ledger.put(tensor.sum())
    ledger.fetch()
    assert ledger.number(number) == 3.0
    assert not ledger.tensor(number).requires_grad


@pytest.mark.parametrize("tensor", [torch.zeros(0, dtype=torch.float64), seeded(7).double()])
def test_a_vector_holds_the_bits(tensor: Tensor) -> None:
    assert list(vector(tensor)) == tensor.tolist()
