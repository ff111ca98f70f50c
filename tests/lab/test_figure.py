import re
import xml.etree.ElementTree as ET

import pytest

from stepzero.lab import figure


def test_a_figure_is_one_line_and_one_label_a_name():
    text = figure.lines("a < b", "x", "y", {"one & all": [(1, 2), (3, 4)], "two": [(1, 1)]})
    root = ET.fromstring(text)
    words = [each.text for each in root.iter("{http://www.w3.org/2000/svg}text")]
    assert {"a < b", "one & all", "two", "x", "y"} <= set(words)
    assert len(list(root.iter("{http://www.w3.org/2000/svg}polyline"))) == 2


def test_higher_is_up_and_later_is_right():
    text = figure.lines("t", "x", "y", {"a": [(1, 1), (100, 1e4)]}, is_log_x=True, is_log_y=True)
    (left, low), (right, high) = (map(float, pair) for pair in re.findall(r'cx="([\d.]+)" cy="([\d.]+)"', text))
    assert left < right
    assert low > high


def test_what_a_logarithm_cannot_show_is_left_out():
    text = figure.lines("t", "x", "y", {"a": [(1, 0), (2, float("inf")), (3, 5)]}, is_log_y=True)
    assert text.count("<circle") == 1
    with pytest.raises(ValueError, match="no point"):
        figure.lines("t", "x", "y", {"a": [(1, 0)]}, is_log_y=True)
