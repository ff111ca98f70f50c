import pytest
from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.errors import ConfigError
from stepzero.lab.grid import Grid


def test_every_combination_once_and_a_start_without_randomness_once():
    grid = Grid(weights=("zero", "constant", "lecun"), biases=("zero", "random"), gains=(1.0, 2.0), seeds=5)
    found = list(grid.networks())
    counts = {}
    for each in found:
        counts[each.weights, each.gain, each.biases] = counts.get((each.weights, each.gain, each.biases), 0) + 1
    assert counts == {
        ("zero", 0.0, "zero"): 1, ("zero", 0.0, "random"): 5,
        ("constant", 1.0, "zero"): 1, ("constant", 1.0, "random"): 5,
        ("constant", 2.0, "zero"): 1, ("constant", 2.0, "random"): 5,
        ("lecun", 1.0, "zero"): 5, ("lecun", 1.0, "random"): 5,
        ("lecun", 2.0, "zero"): 5, ("lecun", 2.0, "random"): 5,
    }  # fmt: skip
    assert len({each.key for each in found}) == len(found)


def test_minibatches_are_randomness_too():
    assert len(list(Grid(weights=("zero",), batch=8, seeds=5).networks())) == 5


def test_start_and_end_are_always_observed():
    assert next(iter(Grid(steps=40, measure=(10,)).networks())).measure == (0, 10, 40)


@given(st.lists(st.sampled_from(["lecun", "he", "zero"]), min_size=1, unique=True), st.integers(1, 4))
def test_json_brings_back_the_grid_and_its_networks(weights, seeds):
    grid = Grid(weights=weights, seeds=seeds, name="x")
    again = Grid.parse(grid.to_json())
    assert (again, again.name) == (grid, "x")
    assert [each.key for each in again.networks()] == [each.key for each in grid.networks()]


def test_a_file_is_named_after_itself(tmp_path):
    path = tmp_path / "mine.toml"
    path.write_text('tasks = ["xor", "moons"]\ndepths = 2\nlrs = [1, 0.5]\n')
    grid = Grid.read(path)
    assert (grid.name, grid.tasks, grid.depths, grid.lrs) == ("mine", ("xor", "moons"), (2,), (1.0, 0.5))


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"widhts": [3]}, "'widhts'.*did you mean 'widths'"),
        ({"widths": ["x"]}, "'widths'.*expected int, got 'x'"),
        ({"widths": [True]}, "'widths'.*got True"),
        ({"widths": []}, "'widths'.*is empty"),
        ({"seeds": 0}, "'seeds'.*1 or more, got 0"),
        ({"weights": ["lecn"]}, "'weights'.*'lecn'.*did you mean 'lecun'"),
        ({"tasks": "digit"}, "'tasks'.*'digit'.*did you mean 'digits'"),
        ({"steps": 10, "measure": [20]}, "'measure'.*up to 10, got 20"),
        ({"lrs": "fast"}, "'lrs'.*expected float"),
    ],
)
def test_what_is_wrong_is_named(values, words):
    with pytest.raises(ConfigError, match=words):
        Grid.of(values)


def test_a_file_that_is_no_toml_says_where(tmp_path):
    path = tmp_path / "bad.toml"
    path.write_text("depths = [1\nx = = 2\n")
    with pytest.raises(ConfigError, match=r"bad\.toml is no TOML: .*line"):
        Grid.read(path)
