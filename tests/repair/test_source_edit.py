"""Where the edit counts a place, and where it does not."""

import libcst
import pytest

from stepzero.repair.source_edit import Start


@pytest.mark.parametrize(
    ("text", "places"),
    [
        ("def build():\n    return net\n", 1),
        ("def build():\n    return net, x, loss\n", 1),
        ("def build():\n    return init_(net)\n", 0),
        ("def build():\n    return None\n", 0),
        ("class build:\n    def __init__(this):\n        this.x = 1\n", 1),
        ("class build:\n    def __init__(self):\n        self.x = 1\n        init_(self)\n", 0),
        ("def build():\n    return\n", 0),
        ("def other():\n    return net\n", 0),
        ("def outer():\n    def build():\n        return net\n    return build\n", 0),
        ("async def build():\n    return net\n", 1),
    ],
)
def test_returns_are_counted(text, places):
    editor = Start("build")
    libcst.parse_module(text).visit(editor)
    assert editor.places == places


def test_what_was_there_and_what_is_unclear_is_counted():
    editor = Start("build", is_tuple=True)
    libcst.parse_module("def build():\n    if a:\n        return init_(net), x\n    return both\n").visit(editor)
    assert (editor.kind, editor.present, editor.unclear) == ("function", 1, 1)
