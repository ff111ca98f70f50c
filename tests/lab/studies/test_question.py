import functools

import pytest

from stepzero import lab
from stepzero.lab.studies import question


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    store = tmp_path_factory.mktemp("question") / "lab.sqlite"
    return question.run("short", functools.partial(lab.run, store=store, workers=2))


def learned(answer, weights, biases, activation, optimizer):
    return answer.facts[f"{weights}/{biases} {activation} {optimizer}"]


@pytest.mark.slow
def test_random_weights_with_zero_biases_learn_at_any_depth(answer):
    for activation, optimizer in (("tanh", "sgd"), ("tanh", "adam"), ("relu", "sgd"), ("relu", "adam")):
        assert sum(learned(answer, "random", "zero", activation, optimizer)) >= 5


@pytest.mark.slow
def test_equal_units_stay_one_unit_and_do_not_learn(answer):
    for law in ("zero", "constant"):
        for biases in ("zero", "constant"):
            for activation in question.ACTIVATIONS:
                for optimizer in question.RATES:
                    assert answer.facts[f"{law}/{biases} {activation} {optimizer} width"] == [1] * 6
                    assert sum(learned(answer, law, biases, activation, optimizer)) == 0


@pytest.mark.slow
def test_the_opposite_breaks_the_symmetry_and_fails_with_depth(answer):
    facts = answer.facts
    assert facts["zero/random tanh sgd width"][0] == question.WIDTH
    assert learned(answer, "zero", "random", "tanh", "sgd")[-1] == 0
    assert learned(answer, "zero", "random", "tanh", "adam")[0] == 1
    assert sum(learned(answer, "zero", "random", "relu", "sgd")) == 0


@pytest.mark.slow
def test_a_start_without_randomness_is_one_network(answer):
    for table in answer.tables.values():
        for row in table.rows:
            is_random = "random" in row[:2]
            assert all(cell.endswith(f"/{question.SEEDS['short'] if is_random else 1}") for cell in row[2:8])
    assert "narrowest hidden layer" in question.page(answer)
