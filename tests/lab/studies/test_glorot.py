import pytest

from stepzero.lab.studies import glorot


@pytest.fixture(scope="module")
def by_law():
    return {law: glorot.variances(256, law, 2) for law in glorot.LAWS}


def factor(by_law, law, place):
    return glorot._factor(by_law[law][place], is_back="back" in place)


def test_the_usual_start_divides_by_three_a_layer_both_ways(by_law):
    for place in glorot.PLACES[:2]:
        assert factor(by_law, "standard", place) == pytest.approx(1 / 3, rel=0.15), place


def test_the_normalised_start_keeps_far_more_of_both(by_law):
    for place in glorot.PLACES[:2]:
        assert 0.6 < factor(by_law, "normalised", place) < 1, place


def test_gradients_of_weights_look_even_from_either(by_law):
    """Signal and gradient fade in opposite directions, so their product does not show it."""
    for law in glorot.LAWS:
        assert factor(by_law, law, glorot.PLACES[2]) == pytest.approx(1, abs=0.08), law


@pytest.mark.slow
def test_training_puts_the_starts_in_the_order_of_the_paper():
    answer = glorot.run("short", None)
    wrong = answer.facts["errors"]
    assert wrong["tanh normalised"] < wrong["tanh standard"] - 0.5
    assert wrong["sigmoid standard"] > max(wrong["tanh normalised"], wrong["tanh standard"]) + 10
    top = answer.facts["top"]
    assert top[0] == pytest.approx(0.5, abs=0.05)
    assert min(top) < 0.1  # pushed to its lower end
    assert "table 1" in glorot.page(answer)
