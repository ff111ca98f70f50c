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
