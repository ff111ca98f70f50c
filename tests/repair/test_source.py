"""Editing a factory: one import, one call, everything else as it was."""

import pytest

from stepzero.core.errors import ConfigError
from stepzero.repair import source

FILE = '''"""A file of mine."""
from __future__ import annotations
import torch
from torch import (
    nn,
)

WIDTH = 3   # odd  spacing, kept


def build():   # a comment
    if WIDTH:
        return nn.Linear( 3,2 ), torch.randn(2,3)  # trailing
    def inner():
        return 5
    return (nn.Linear(3, 2))


class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Linear(width, width)

    def forward(self, x):
        return self.layer(x)
'''


def changed(after):
    rows = source.diff(FILE, after, "net.py").splitlines()[2:]
    return [row for row in rows if row[:1] in "+-"]


def test_every_return_of_the_factory_is_wrapped_and_nothing_else():
    assert changed(source.with_start(FILE, "build", "net_init")) == [
        "+from net_init import init_",
        "-        return nn.Linear( 3,2 ), torch.randn(2,3)  # trailing",
        "+        return init_(nn.Linear( 3,2 )), torch.randn(2,3)  # trailing",
        "-    return (nn.Linear(3, 2))",
        "+    return init_((nn.Linear(3, 2)))",
    ]


def test_a_class_calls_it_last_in_its_constructor():
    assert changed(source.with_start(FILE, "Net", "net_init")) == [
        "+from net_init import init_",
        "+        init_(self)",
    ]


def test_twice_is_once():
    once = source.with_start(FILE, "build", "net_init")
    with pytest.raises(ConfigError, match="build calls init_ already"):
        source.with_start(once, "build", "net_init")
    once = source.with_start(FILE, "Net", "net_init")
    with pytest.raises(ConfigError, match="Net calls init_ already"):
        source.with_start(once, "Net", "net_init")


@pytest.mark.parametrize(
    ("text", "is_tuple", "told"),
    [
        ("class Net(Base):\n    width = 3\n", False, "class Net has no __init__ of its own"),
        ("def Net():\n    made = 1\n", False, "Net has no return with a model in it"),
        ("from nets import Net\n", False, "found no function or class 'Net' in the file itself"),
        ("Net = lambda: 1\n", False, "found no function or class 'Net' in the file itself"),
        ("def Net():\n    pair = net, x\n    return pair\n", True, "returns a tuple that is put together elsewhere"),
        ("init_ = 3\ndef Net():\n    return net\n", False, "an init_ of its own"),
        ("from torch.nn.init import zeros_ as init_\ndef Net():\n    return net\n", False, "an init_ of its own"),
    ],
)
def test_where_the_call_has_no_place_the_reason_is_told(text, is_tuple, told):
    with pytest.raises(ConfigError) as caught:
        source.with_start(text, "Net", "net_init", is_tuple=is_tuple)
    assert told in str(caught.value)
    assert "--emit" in str(caught.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('"""Notes\nfrom somewhere\nimport this\n"""\ndef build():\n    return net\n', 4),
        ('"""Notes."""\nfrom __future__ import annotations\n\nimport os\n\ndef build():\n    return net\n', 4),
        ("def build():\n    return net\nimport os\n", 0),
        ("if True:\n    import os\nimport sys\nx = 1\ndef build():\n    return net\n", 3),
    ],
)
def test_the_import_stands_behind_the_others(text, line):
    after = source.with_start(text, "build", "pkg.net_init")
    assert after.split("\n")[line] == "from pkg.net_init import init_"
    compile(after, "after", "exec")


def test_the_result_still_compiles():
    for name in ("build", "Net"):
        compile(source.with_start(FILE, name, "net_init"), name, "exec")


def test_an_unknown_name_is_one_clear_line():
    with pytest.raises(ConfigError, match="no function or class 'bulid'"):
        source.with_start(FILE, "bulid", "net_init")


def test_no_change_no_diff():
    assert source.diff(FILE, FILE, "net.py") == ""
