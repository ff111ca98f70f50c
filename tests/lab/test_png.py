import io

import pytest

from stepzero.core.errors import ConfigError
from stepzero.lab import figure, png


def drawn(**how):
    image = pytest.importorskip("PIL.Image", reason="the extra lab is not installed")
    made = figure.lines("t", "x", "y", {"one": [(1, 1), (2, 3)], "two": [(1, 2), (2, 2)]}, **how)
    return made, image.open(io.BytesIO(png.png(made))).convert("RGB")


def test_a_picture_is_twice_the_figure_and_has_its_colours():
    made, picture = drawn()
    assert picture.size == (made.width * png.SCALE, made.height * png.SCALE)
    for name in figure.COLOURS[:2]:
        colour = tuple(int(name[place : place + 2], 16) for place in (1, 3, 5))
        assert {each: count for count, each in picture.getcolors(1 << 20)}[colour] > 50, name


def test_dots_lie_where_the_figure_has_them():
    made, picture = drawn()
    dots = [mark for mark in made.marks if isinstance(mark, figure.Dot)]
    assert len(dots) == 4
    for dot in dots:
        colour = tuple(int(dot.colour[place : place + 2], 16) for place in (1, 3, 5))
        assert picture.getpixel((round(dot.x * png.SCALE), round(dot.y * png.SCALE))) == colour


def test_the_same_figure_is_the_same_file():
    made, _ = drawn()
    assert png.png(made) == png.png(made)


def test_without_pillow_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "PIL", None)
    with pytest.raises(ConfigError, match=r"pip install 'stepzero\[lab\]'"):
        png.check()
