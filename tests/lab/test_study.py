import pytest

from stepzero.lab.study import Answer, Table, paragraphs, rank_correlation, reference


def test_json_brings_back_all_but_the_figures():
    answer = Answer(
        "a", "short", {"x": 1}, {"t": Table(("p", "q"), ((1, 0.5), ("z", None)))}, {"f": [1]}, {"s": "<svg/>"}
    )
    again = Answer.parse(answer.to_json())
    assert (again.tables, again.facts, again.settings, again.figures) == (answer.tables, {"f": [1]}, {"x": 1}, {})


def test_a_table_reads_as_markdown():
    table = Table(("p", "q"), ((1, 0.123456), ("z", None)))
    assert table.markdown() == "| p | q |\n| --- | --- |\n| 1 | 0.123 |\n| z |  |"


def test_paragraphs_stand_apart():
    assert paragraphs(" a\n", "b") == "a\n\nb\n"


def test_a_reference_is_the_one_row():
    rows = [{"a": 1, "b": 2}, {"a": 1, "b": 3}]
    assert reference(rows, b=3) is rows[1]
    with pytest.raises(ValueError, match="too many"):
        reference(rows, a=1)


def test_ranks_with_ties_take_their_mean():
    assert rank_correlation([1, 2, 3], [5, 7, 7]) == pytest.approx(0.866, abs=1e-3)
    assert rank_correlation([1, 2, 30], [9, 7, 1]) == pytest.approx(-1)
