"""A working directory with a small user package in it, and made rules and measuring under the command line."""

import sys
from collections.abc import Iterator
from types import ModuleType

import pytest
import torch

import stepzero
from tests.cli.support import FakeApi, made_rules

MLP = """\
import torch
from torch import nn

WIDTH = 128
ready = nn.Linear(4, 2)


class Net(nn.Module):
    def __init__(self, width=8, *, depth=1):
        super().__init__()
        self.fc = nn.Linear(4, width)
        self.depth = depth

    def forward(self, x):
        return self.fc(x)


def build(width=8):
    return Net(width), torch.ones(3, 4)


def full():
    return Net(), torch.ones(3, 4), lambda output: output.sum()


def bare():
    return Net()


def needs(width):
    return Net(width)


def nothing():
    Net()


def broken():
    deeper()


def deeper():
    raise KeyError("missing [attn] setting")


def leaves():
    raise SystemExit(3)


def loader():
    return [torch.ones(5, 4), torch.ones(5, 4)]


def empty():
    return None


def my_loss(output):
    return output.mean()


class Loss:
    def __init__(self, scale=1.0):
        self.scale = scale

    def __call__(self, output):
        return self.scale * output.mean()
"""


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """Stand in a folder that holds app/mlp.py, broken.py and crash.py; forget what was imported from it afterwards."""
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "__init__.py").write_text("")
    (tmp_path / "app" / "mlp.py").write_text(MLP)
    (tmp_path / "app" / "relative.py").write_text("from .mlp import build\n")
    (tmp_path / "crash.py").write_text("import json\njson.loads('{')\n")
    (tmp_path / "needy.py").write_text("import not_there_at_all\n")
    (tmp_path / "wrong.py").write_text("def build(:\n    pass\n")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.fixture(autouse=True)
def rules(monkeypatch):
    """Five made rules in the place of the shipped ones."""
    module = ModuleType("stepzero.rules")
    module.ALL = made_rules()
    module.names = lambda: {rule.code: rule.name for rule in module.ALL}
    module.load = lambda code: next(rule for rule in module.ALL if rule.code == code)
    monkeypatch.setitem(sys.modules, "stepzero.rules", module)
    monkeypatch.setattr(stepzero, "rules", module, raising=False)  # where an earlier test imported the shipped ones
    return module.ALL


@pytest.fixture(autouse=True)
def api(monkeypatch):
    """A made ``stepzero.api`` that can be told what to report."""
    import stepzero

    fake = FakeApi()
    monkeypatch.setitem(sys.modules, "stepzero.api", fake)
    monkeypatch.setattr(stepzero, "api", fake, raising=False)
    return fake


@pytest.fixture(autouse=True)
def _gradients_are_on_again() -> Iterator[None]:
    """A time-out raises wherever the process stands, also where the gradient mode is put back; a command ends there."""
    yield
    torch.set_grad_enabled(mode=True)
