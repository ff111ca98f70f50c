import math

import pytest

from stepzero.lab.studies import widths


@pytest.mark.parametrize(
    ("stack", "off"), [((100,) * 6, 0.15), ((50,) * 10, 0.2), ((20, 80) * 3, 0.35), ((30,) * 6, 0.35)]
)
def test_the_length_varies_as_the_law_says(stack, off):
    """Up to what the law leaves out: terms in 1 / n^2, and the draw."""
    found, expected = widths.logarithms(stack, 2000), widths.law(stack)
    assert float(found.var()) == pytest.approx(expected, rel=off)
    drawn = 3 * math.sqrt(expected / len(found))
    assert float(found.mean()) == pytest.approx(-expected / 2, abs=off * expected / 2 + drawn)


def test_profiles_have_about_as_many_weights_each():
    for spread in widths.SPREADS["full"]:
        wide, narrow, *_ = widths.profile(spread)
        assert (widths.DEPTH - 1) * wide * narrow == pytest.approx(widths.NUMBERS, rel=0.1)
    assert widths.law(widths.profile(16)) > 1.8 * widths.law(widths.profile(1))


def test_the_first_step_is_the_end_of_ten_losses_at_the_level():
    assert widths.first([1.0] * 10 + [0.0] * 10, 0.5) == 15
    assert widths.first([1.0] * 30, 0.5) is None


@pytest.mark.slow
def test_uneven_widths_of_equal_size_learn_later():
    answer = widths.run("short", None)
    for row in answer.tables["lengths"].rows:
        assert row[2] == pytest.approx(row[1], rel=0.25 if row[1] <= 2.5 else 0.6), row
    even, uneven = answer.facts["even"], answer.facts["uneven"]
    assert answer.facts["rank correlation"] > 0.8
    assert uneven["late quarter"] > 2 * even["late quarter"]
    assert "Rank correlation" in widths.page(answer)
