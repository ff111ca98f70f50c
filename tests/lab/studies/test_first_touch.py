import pytest

from stepzero.lab.studies import first_touch


@pytest.fixture(scope="module")
def answer():
    return first_touch.run("short", None)


def test_the_lowest_layer_wakes_at_the_step_of_the_law(answer):
    for row in answer.tables["law"].rows:
        assert row[3] == str(row[2]), row


def test_the_exponent_is_that_of_the_law_within_a_tenth(answer):
    for row in answer.tables["law"].rows:
        assert row[5] == pytest.approx(row[4], rel=0.1), row


def test_float32_underflows_where_the_law_is_below_its_smallest_number(answer):
    facts = answer.facts
    assert facts["sgd 4"]["step in float32"] == 3
    assert facts["sgd 5"]["gradient at rate 0.001"] < 1.4e-45
    assert facts["sgd 5"]["step in float32"] != 4
    assert "sgd with 5 weight layers" in first_touch.page(answer)
