import pytest

from stepzero.lab.studies import symmetry


@pytest.fixture(scope="module")
def facts():
    return symmetry.run("short", None).facts


@pytest.mark.parametrize("optimizer", symmetry.RATES)
def test_rows_and_columns_together_are_one_unit_for_ever(facts, optimizer):
    both, nothing = (facts[f"{optimizer}: {kind}"] for kind in ("rows and columns equal", "nothing equal"))
    assert set(both["widths"]) == {"1"}
    assert both["loss"] > 10 * nothing["loss"]


@pytest.mark.parametrize("optimizer", symmetry.RATES)
@pytest.mark.parametrize("kind", ["rows equal", "columns equal", "layers equal"])
def test_half_of_it_and_equal_layers_are_harmless(facts, optimizer, kind):
    found, nothing = facts[f"{optimizer}: {kind}"], facts[f"{optimizer}: nothing equal"]
    assert found["widths"][-1] == str(symmetry.WIDTH)
    assert found["loss"] < 2 * nothing["loss"]


@pytest.mark.parametrize("optimizer", symmetry.RATES)
def test_a_bias_is_enough_to_tell_units_apart(facts, optimizer):
    assert facts[f"{optimizer}: rows and columns equal, biases differ"]["widths"][0] == str(symmetry.WIDTH)
