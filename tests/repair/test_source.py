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
    with pytest.raises(ConfigError, match="found no function"):
        source.with_start(once, "build", "net_init")


def test_the_result_still_compiles():
    for name in ("build", "Net"):
        compile(source.with_start(FILE, name, "net_init"), name, "exec")


def test_an_unknown_name_is_one_clear_line():
    with pytest.raises(ConfigError, match="no function or class 'bulid'"):
        source.with_start(FILE, "bulid", "net_init")


def test_no_change_no_diff():
    assert source.diff(FILE, FILE, "net.py") == ""
