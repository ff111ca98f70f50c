import re
import xml.etree.ElementTree as ET

import pytest

from stepzero.lab import figure


def test_a_figure_is_one_line_and_one_label_a_name():
    text = figure.lines("a < b", "x", "y", {"one & all": [(1, 2), (3, 4)], "two": [(1, 1)]}).svg()
    root = ET.fromstring(text)
    words = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "one & all", "two", "x", "y"} <= set(words)
    strokes = [each.get("stroke") for each in root.iter("{http://www.w3.org/2000/svg}polyline")]
    assert [strokes.count(colour) for colour in figure.COLOURS[:2]] == [2, 2]  # the line and its key


def test_higher_is_up_and_later_is_right():
    text = figure.lines("t", "x", "y", {"a": [(1, 1), (100, 1e4)]}, is_log_x=True, is_log_y=True).svg()
    (left, low), (right, high) = (map(float, pair) for pair in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', text))
    assert left < right
    assert low > high


def test_what_a_logarithm_cannot_show_is_left_out():
    text = figure.lines("t", "x", "y", {"a": [(1, 0), (2, float("inf")), (3, 5)]}, is_log_y=True).svg()
    assert text.count("<circle") == 1
    with pytest.raises(ValueError, match="no point"):
        figure.lines("t", "x", "y", {"a": [(1, 0)]}, is_log_y=True)


def test_a_long_name_makes_the_sheet_wider():
    short, long = (figure.lines("t", "x", "y", {name: [(1, 1), (2, 2)]}) for name in ("a", "a" * 60))
    assert long.width > short.width + 300


@pytest.mark.parametrize(
    ("values", "is_log", "ticks"),
    [
        ([0, 0.9], False, [0, 0.2, 0.4, 0.6, 0.8]),
        ([3, 17], False, [5, 10, 15]),
        ([-1, 1], False, [-1, -0.5, 0, 0.5, 1]),
        ([1, 1000], True, [1, 10, 100, 1000]),
        ([1, 1e20], True, [1, 1e4, 1e8, 1e12, 1e16, 1e20]),
    ],
)
def test_ticks_are_round_numbers(values, is_log, ticks):
    assert figure.Axis(values, 0, 100, is_log=is_log).ticks() == pytest.approx(ticks)


def test_numbers_are_written_as_one_reads_them():
    assert [figure._number(x) for x in (0.2, 10_000.0, 1e7, 0.30000000000000004)] == ["0.2", "10000", "1e+07", "0.3"]
