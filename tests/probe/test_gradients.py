"""Facts about gradients of parameters: norms by row, exact zeros told from numbers that are merely tiny."""

import math

import pytest
import torch
from torch import Tensor

from stepzero.core.trace import GradientFact
from stepzero.probe.gradients import gradient_facts, look_at_gradients
from stepzero.probe.transfer import Ledger
from tests.probe.observing import seeded


def gradient(tensor: Tensor) -> GradientFact:
    ledger = Ledger()
    ticket = look_at_gradients(ledger, {"w": tensor})["w"]
    ledger.fetch()
    arrived = {"w": (ticket, tensor.numel(), tensor.layout != torch.strided)}
    return gradient_facts(ledger, arrived)["w"]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("shape", [(5, 7), (4, 3, 2, 2), (6,), ()])
def test_a_gradient_by_rows(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    numbers = seeded(*shape, dtype=dtype)
    fact, exact = gradient(numbers), numbers.double()
    rows = exact.reshape(shape[0] if shape else 1, -1).norm(dim=1)
    assert list(fact.row_norm) == pytest.approx(rows.tolist(), rel=1e-6)
    assert fact.norm == pytest.approx(float(exact.norm()), rel=1e-6)
    assert fact.rms == pytest.approx(float(exact.square().mean().sqrt()), rel=1e-6)


def test_exactly_zero_rows_are_counted_and_tiny_ones_are_not() -> None:
    numbers = torch.zeros(5, 8)
    numbers[1], numbers[2], numbers[3, 3] = 1e-30, 1e30, 1e-42
    fact = gradient(numbers)
    assert fact.zero_rows == 2
    assert not fact.nonfinite
    assert list(fact.row_norm)[1:4] == pytest.approx([8**0.5 * 1e-30, 8**0.5 * 1e30, 1e-42], rel=1e-3)


def test_a_gradient_that_is_not_finite() -> None:
    numbers = torch.ones(3, 4)
    numbers[1, 1] = math.nan
    assert gradient(numbers).nonfinite
    numbers[1, 1] = math.inf
    assert gradient(numbers).nonfinite


def test_a_sparse_gradient_of_a_table() -> None:
    numbers = torch.sparse_coo_tensor([[0, 3, 3]], torch.ones(3, 4), (5, 4))
    fact = gradient(numbers)
    assert list(fact.row_norm) == [2.0, 0.0, 0.0, 4.0, 0.0]
    assert (fact.is_sparse, fact.zero_rows) == (True, 3)


def test_complex_gradients_count_by_magnitude() -> None:
    assert list(gradient(torch.tensor([[3 + 4j, 0], [0, 5j]])).row_norm) == [5.0, 5.0]
