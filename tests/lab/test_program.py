import pytest

from stepzero.core.errors import ConfigError
from stepzero.lab import program
from tests.lab.fleets import PROGRAMS


@pytest.mark.parametrize("name", PROGRAMS)
def test_layers_fill_the_numbers_without_gap_or_overlap(name):
    built = PROGRAMS[name]("tanh")
    place = 0
    for layer in built.layers:
        assert layer.offset == place
        place = layer.bias + layer.rows
    assert built.used == place
    assert 0 <= built.stride - built.used < program.ALIGNED


@pytest.mark.parametrize("name", PROGRAMS)
def test_each_operation_writes_a_buffer_of_its_own_after_what_it_reads(name):
    built = PROGRAMS[name]("tanh")
    assert [op.out for op in built.ops] == list(range(1, len(built.rows)))
    assert all(op.source < op.out and op.other < op.out for op in built.ops)


def test_the_response_of_a_layer_is_what_its_activation_writes():
    built = program.mlp(4, [3, 3], 2, "relu")
    assert [(each.name, each.out, each.response) for each in built.hidden] == [("body.0", 1, 2), ("body.1", 3, 4)]
    assert built.layers[-1].response is None


def test_a_residual_block_adds_to_what_came_in():
    built = program.residual(4, 8, 3, 2, "relu", has_norm=True)
    adds = [op for op in built.ops if op.kind == "add"]
    assert len(adds) == 3
    assert [op.source for op in adds[1:]] == [op.out for op in adds[:-1]]
    assert sum(op.kind == "norm" for op in built.ops) == 4
    assert len(built.layers) == 1 + 3 * 2 + 1


def test_an_unknown_activation_is_refused():
    with pytest.raises(ConfigError, match="relux"):
        program.mlp(4, [3], 2, "relux")
