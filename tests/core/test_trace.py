"""Trace: questions about the graph, answered from plain data."""

import pytest

from stepzero.core.trace import ModuleFact, Operation, Signal, TensorFact, Trace
from stepzero.core.vector import Vector


def operation(index: int, *inputs: int, kind: str = "other", from_input: bool = True) -> Operation:
    return Operation(index, "linear", kind, "", 0, (2, 3), "torch.float32", inputs=inputs, from_input=from_input)


# 0 -> 1 -> 3 -> 4 and the branch 0 -> 2 -> 4; 5 stands alone.
DIAMOND = Trace(
    "m",
    operations=(
        operation(0, kind="weighted"),
        operation(1, 0),
        operation(2, 0, kind="weighted"),
        operation(3, 1),
        operation(4, 3, 2),
        operation(5, kind="weighted", from_input=False),
    ),
    modules=(
        ModuleFact("", "Net", True, "net.py:1"),
        ModuleFact("a", "Block", True, "net.py:3"),
        ModuleFact("a.b", "Linear", True, None),
    ),
)


def test_readers_are_the_inputs_turned_round():
    assert DIAMOND.readers() == {0: [1, 2], 1: [3], 2: [4], 3: [4], 4: [], 5: []}


def test_weighted_operations_are_those_the_batch_reaches():
    assert [found.index for found in DIAMOND.weighted()] == [0, 2]


@pytest.mark.parametrize(
    ("path", "line"),
    [("a", "net.py:3"), ("a.b", "net.py:3"), ("a.b.c", "net.py:3"), ("z", "net.py:1"), ("", "net.py:1")],
)
def test_the_source_line_is_that_of_the_nearest_parent(path, line):
    assert DIAMOND.source_line(path) == line


def tensor(low: float, high: float, numel: int = 6) -> TensorFact:
    return TensorFact("w", (), "", "parameter", (numel,), "torch.float32", "cpu", numel, low=low, high=high)


@pytest.mark.parametrize(
    ("fact", "constant", "zero"),
    [
        (tensor(0.0, 0.0), True, True),
        (tensor(-0.0, 0.0), True, True),
        (tensor(0.5, 0.5), True, False),
        (tensor(0.0, 1e-45), False, False),
        (tensor(0.0, 0.0, numel=0), False, False),
    ],
)
def test_constant_and_zero_are_exact(fact, constant, zero):
    assert (fact.is_constant, fact.is_zero) == (constant, zero)


def test_a_parameter_is_found_by_name():
    fact = tensor(0.0, 1.0)
    assert Trace("m", parameters=(fact,)).parameter("w") is fact


@pytest.mark.parametrize(("units", "numbers", "projections"), [(3, 12, 4), (0, 0, 0)])
def test_projections_are_counted_per_unit(units, numbers, projections):
    signal = Signal(8, 8, units, 1.0, 0.0, -1.0, 1.0, None, Vector(), Vector(), Vector.of(range(numbers)))
    assert signal.projections == projections
