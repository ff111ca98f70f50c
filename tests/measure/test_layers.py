"""The table by layer, from hand-made Traces: plain data in, rows out."""

import math
from typing import Any

import pytest

from stepzero.core.trace import GradientFact, Operation, ParameterUse, Signal, TensorFact, Trace
from stepzero.core.vector import Vector
from stepzero.measure.gain import gain_of
from stepzero.measure.layers import law_std, layer_table, unit_shares, weight_use


def use(parameter: str = "w", slot: str = "weight", fan_in: float | None = 9.0, **rest: Any) -> ParameterUse:
    return ParameterUse(parameter, slot, (4, 9), ("out", "in"), fan_in, 4.0, **rest)


def signal(rms: float = 1.0, **rest: Any) -> Signal:
    return Signal(8, 8, 4, rms, 0.0, -1.0, 1.0, 0.75, Vector(), Vector(), Vector(), **rest)


def operation(index: int, kind: str, *inputs: int, name: str = "", **rest: Any) -> Operation:
    rest.setdefault("forward", signal(index + 1.0))
    rest.setdefault("gain", gain_of(name, rest.get("attributes")) if kind == "activation" else None)
    return Operation(index, name or kind, kind, "", 0, (8, 4), "float32", inputs=inputs, **rest)


def fact(name: str = "w", **rest: Any) -> TensorFact:
    return TensorFact(name, (), "", "parameter", (4, 9), "float32", "cpu", 36, **rest)


def trace(*operations: Operation, parameters: tuple[TensorFact, ...] = ()) -> Trace:
    return Trace("m", operations=operations, parameters=parameters)


def test_a_row_says_what_stands_in_the_trace() -> None:
    gradient = GradientFact(rms=0.02, norm=1.0, row_norm=Vector())
    observed = trace(
        operation(0, "other", name="input"),
        operation(1, "weighted", 0, name="linear", uses=(use(),), unit_axis=1, consumer="relu", consumer_index=2),
        operation(
            2,
            "activation",
            1,
            name="relu",
            forward=signal(flat_share=Vector.of([0.4, 0.6, 1, 1]), off_share=Vector.of([0.4, 0.6, 0.99, 1])),
        ),
        parameters=(fact(std=0.1, rms=0.2, gradient=gradient),),
    )
    (row,) = layer_table(observed)
    assert (row.operation, row.path, row.name, row.shape, row.units) == (1, "w", "linear", (4, 9), 4)
    assert (row.signal_in, row.signal_out, row.batch_share) == (1.0, 2.0, 0.75)
    assert (row.flat_share, row.dead_share) == (0.75, 0.25)
    assert row.weight_std == 0.1
    assert row.law_ratio == pytest.approx(0.1 / (math.sqrt(2) / 3))  # He: sqrt(2 / fan in)
    assert row.gradient_to_weight == pytest.approx(0.1)
    assert row.calls == 1


def test_calls_of_one_weight_are_one_row_with_a_count() -> None:
    observed = trace(
        operation(0, "other", name="input"),
        *(operation(number, "weighted", number - 1, name="linear", uses=(use(),)) for number in (1, 2, 3)),
        operation(4, "weighted", 3, name="embedding", uses=(use(slot="table"),)),
    )
    assert [(row.name, row.calls, row.operation) for row in layer_table(observed)] == [
        ("linear", 3, 1),
        ("embedding", 1, 4),
    ]


def test_operations_that_the_batch_does_not_reach_or_without_a_weight_have_no_row() -> None:
    observed = trace(
        operation(0, "weighted", uses=(use(),), from_input=False),
        operation(1, "weighted", 0, uses=(use(slot="bias"),)),
        operation(2, "norm", 1, uses=(use(slot="gain"),)),
    )
    assert layer_table(observed) == ()


def test_the_signal_comes_from_behind_operations_that_were_not_measured() -> None:
    observed = trace(
        operation(0, "activation"),
        operation(1, "view", 0, forward=None),
        operation(2, "view", 1, forward=None),
        operation(3, "weighted", 2, uses=(use(),)),
    )
    assert layer_table(observed)[0].signal_in == 1.0


def test_numbers_that_are_missing_stay_missing() -> None:
    (row,) = layer_table(trace(operation(0, "weighted", uses=(use(fan_in=None),), forward=None)))
    assert (row.weight_std, row.law_ratio, row.signal_in, row.signal_out) == (None, None, None, None)
    assert (row.units, row.batch_share, row.flat_share, row.gradient_to_weight) == (None, None, None, None)


def test_a_weight_of_zeros_has_no_gradient_ratio() -> None:
    gradient = GradientFact(rms=0.02, norm=1.0, row_norm=Vector())
    observed = trace(operation(0, "weighted", uses=(use(),)), parameters=(fact(gradient=gradient),))
    (row,) = layer_table(observed)
    assert row.gradient_to_weight is None
    assert row.law_ratio == 0.0


@pytest.mark.parametrize(
    ("slots", "chosen"),
    [
        (["bias", "weight"], "weight"),
        (["recurrent", "weight"], "weight"),
        (["operand", "table"], "table"),
        (["recurrent", "operand"], "recurrent"),
        (["gain", "bias"], None),
        ([], None),
    ],
)
def test_the_main_weight(slots: list[str], chosen: str | None) -> None:
    found = weight_use(operation(0, "weighted", uses=tuple(use(slot, slot) for slot in slots)))
    assert (found.parameter if found else None) == chosen


@pytest.mark.parametrize(
    ("reader", "expected"),
    [
        (operation(1, "activation", name="relu"), math.sqrt(2) / 3),
        (operation(1, "activation", name="tanh"), 1.59254 / 3),
        (operation(1, "activation", name="leaky_relu", attributes={"negative_slope": 1.0}), 1 / 3),
        (operation(1, "add", name="add"), 1 / 3),
        (None, 1 / 3),
    ],
)
def test_the_law_is_the_gain_of_the_consumer_over_the_root_of_the_fan_in(
    reader: Operation | None, expected: float
) -> None:
    assert law_std(use(), reader) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    "lawless", [use(fan_in=None), use(fan_in=0.0), use(slot="table", fan_in=1.0), use(is_derived=True)]
)
def test_no_law_for_lookups_derived_weights_and_unknown_fans(lawless: ParameterUse) -> None:
    assert law_std(lawless) is None


def test_shares_need_an_activation_that_was_measured() -> None:
    assert unit_shares(operation(0, "activation", forward=None)) == (None, None)
    assert unit_shares(operation(0, "activation", forward=signal())) == (None, None)
