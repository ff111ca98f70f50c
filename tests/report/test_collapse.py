"""Which rows of a long table are shown."""

from hypothesis import given
from hypothesis import strategies as st

from stepzero.core.outcome import LayerRow
from stepzero.report.collapse import MOST_MARKED, Gap, collapse
from tests.report.samples import blocks, row


def hidden(shown):
    return [item for gap in shown if isinstance(gap, Gap) for item in gap.rows]


def test_a_short_table_is_whole():
    rows = blocks(3, off=0).layers
    assert collapse(rows, {}, short=24) == list(rows)


def test_of_repeated_blocks_the_first_and_the_last_are_shown():
    shown = collapse(blocks(24, off=0).layers, {}, short=24)
    paths = [item.path for item in shown if isinstance(item, LayerRow)]
    assert [path.split(".")[2] for path in paths if ".h." in path] == ["0"] * 4 + ["23"] * 4
    assert [gap.is_repetition for gap in shown if isinstance(gap, Gap)] == [True]


def test_another_shape_is_not_a_repetition():
    rows = [row(index, f"l.{index}.weight", shape=(index + 1, 8)) for index in range(30)]
    shown = collapse(rows, {}, short=24)
    assert shown == rows


def test_a_long_table_without_repetition_is_cut_in_the_middle():
    rows = [row(index, f"l.{index}.weight", shape=(index + 1, 8)) for index in range(100)]
    shown = collapse(rows, {}, short=24)
    (gap,) = [item for item in shown if isinstance(item, Gap)]
    assert not gap.is_repetition
    assert shown[0] == rows[0]
    assert shown[-1] == rows[-1]
    assert len(shown) == 24 + 12 + 1


def test_marked_rows_survive_the_cut_within_reason():
    rows = [row(index, f"l.{index}.weight", shape=(index + 1, 8)) for index in range(100)]
    shown = collapse(rows, dict.fromkeys(range(30, 60), "error"), short=24)
    assert sum(isinstance(item, LayerRow) for item in shown) == 24 + 12 + MOST_MARKED
    assert rows[30] in shown


@given(st.lists(st.tuples(st.integers(0, 3), st.booleans()), max_size=80), st.integers(1, 12))
def test_no_row_is_lost_or_moved(kinds, short):
    rows = [row(index, f"l.{index}.weight", shape=(kind, 1)) for index, (kind, _) in enumerate(kinds)]
    marks = {index: "error" for index, (_, is_marked) in enumerate(kinds) if is_marked}
    shown = collapse(rows, marks, short=short)
    flat = [item for entry in shown for item in (entry.rows if isinstance(entry, Gap) else (entry,))]
    assert flat == rows
    assert len(hidden(shown)) + sum(isinstance(item, LayerRow) for item in shown) == len(rows)
