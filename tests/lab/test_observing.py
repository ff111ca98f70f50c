import pytest
import torch

from stepzero.lab import observing, program, starts, tasks
from stepzero.lab.fleet import observe
from stepzero.measure.redundancy import Stage, coarsest_partition


def seen(built, numbers, task="clusters"):
    numbers = numbers.double()
    _, values, deltas, gradients = observe(built, numbers[None], tasks.probe(tasks.get(task)), engine="stacked")
    return observing.layers(built, numbers, values[0], deltas[0], gradients[0])


def start(built, **changes):
    told = {"weights": "lecun", "gain": 1.0, "biases": "zero", "bias_scale": 0.0, "seed": 0, **changes}
    return starts.start(built, **told)


def planted(kind):
    """A 20-12-12-5 network with some units made alike."""
    built = program.mlp(20, [12, 12], 5, "tanh")
    numbers = start(built)
    low, high = (numbers[each.offset : each.bias].view(each.rows, each.columns) for each in built.layers[:2])
    if kind in {"twins", "rows"}:
        low[1] = low[0]
    if kind in {"twins", "columns"}:
        high[:, 1] = high[:, 0]
    return built, numbers


@pytest.mark.parametrize("kind", ["none", "rows", "columns", "twins"])
def test_effective_width_is_that_of_the_partition_by_weights(kind):
    built, numbers = planted(kind)
    stages = [
        Stage(
            numbers[each.offset : each.bias].view(each.rows, each.columns, 1),
            numbers[each.bias : each.bias + each.rows, None],
        )
        for each in built.layers
    ]
    expected = [len(set(colours)) for colours in coarsest_partition(stages)]
    assert [each.effective_width for each in seen(built, numbers)[:2]] == expected
    assert (expected[0] == 11) == (kind == "twins")


def test_dead_units_with_rows_of_their_own_are_dead_and_not_copies():
    built = program.mlp(20, [12], 5, "relu")
    numbers = start(built)
    layer = built.layers[0]
    numbers[layer.bias : layer.bias + 6] = -100
    (first, _) = seen(built, numbers)
    assert (first.dead, first.effective_width) == (0.5, 12)


def test_a_constant_start_has_one_unit_a_layer():
    built = program.mlp(20, [12, 12], 5, "sigmoid")
    assert [each.effective_width for each in seen(built, start(built, weights="constant", gain=0.1))[:2]] == [1, 1]


@pytest.mark.parametrize("gain", [0.01, 100.0])
def test_saturation_follows_the_gain(gain):
    built = program.mlp(20, [32], 5, "tanh")
    assert seen(built, start(built, gain=gain))[0].saturated == pytest.approx(float(gain > 1), abs=0.1)


def test_norms_are_those_of_weight_and_gradient():
    built = program.mlp(20, [12], 5, "tanh")
    first = seen(built, start(built, weights="constant", gain=0.5))[0]
    assert first.weight == pytest.approx(0.5 * (12 * 20) ** 0.5)
    assert seen(built, start(built, weights="zero"))[0].gradient == 0


def test_words_without_meaning_are_left_out():
    built = program.residual(20, 8, 1, 5, "relu", has_norm=True)
    found = {each.layer: each for each in seen(built, start(built))}
    assert found["head"].dead is None
    assert found["block.0.0"].saturated is None
    assert found["block.0.0"].dead is not None


def test_accuracy_counts_the_largest_outputs_and_needs_classes():
    outputs = torch.tensor([[1.0, 0, 3], [0, 2, 1]])
    assert observing.accuracy(outputs, torch.tensor([0, 1, 1])) == pytest.approx(2 / 3)
    assert observing.accuracy(outputs, torch.zeros(3, 2)) is None
