"""The chart is well-formed and a power law is a straight line in it."""

from xml.etree import ElementTree as Tree

import pytest

from benchmarks import chart

SVG = "{http://www.w3.org/2000/svg}"


def drawn(lines: dict[str, list[tuple[float, float]]]) -> Tree.Element:
    return Tree.fromstring(chart.log_log("a < b & c", "width", "ms", lines))


def test_a_power_is_a_straight_line_of_its_slope() -> None:
    sizes = (256, 1024, 4096)
    page = drawn({"square": [(size, size**2 / 1e4) for size in sizes], "flat": [(size, 2.0) for size in sizes]})
    lines = [
        [tuple(map(float, point.split(","))) for point in str(line.get("points")).split()]
        for line in page.iter(f"{SVG}polyline")
    ]
    square, flat = lines
    assert square[1][0] - square[0][0] == pytest.approx(square[2][0] - square[1][0], abs=0.2)
    assert square[0][1] - square[1][1] == pytest.approx(square[1][1] - square[2][1], abs=0.2)
    assert len({y for _, y in flat}) == 1


def test_all_that_is_drawn_lies_on_the_page() -> None:
    page = drawn({"one": [(1, 1e-3), (8, 5e4)]})
    for dot in page.iter(f"{SVG}circle"):
        assert 0 <= float(str(dot.get("cx"))) <= chart.WIDTH
        assert 0 <= float(str(dot.get("cy"))) <= chart.HEIGHT


def test_names_are_written_beside_their_lines() -> None:
    words = {text.text for text in drawn({"in pairs": [(1, 1), (2, 4)]}).iter(f"{SVG}text")}
    assert {"in pairs", "a < b & c", "width", "ms"} <= words
