"""What is installed is pinned, and what is declared agrees with the pins."""

import re
import tomllib

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import stepzero
from tests.source import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
LINES = [line for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines() if line[:1] != "#"]
PINS = {canonicalize_name(line.partition("==")[0]): line.partition("==")[2] for line in LINES}
DECLARED = [
    (extra, Requirement(text))
    for extra, texts in {"": PROJECT["dependencies"], **PROJECT["optional-dependencies"]}.items()
    for text in texts
]


def test_every_line_is_one_exact_version():
    assert not [line for line in LINES if not re.fullmatch(r"[A-Za-z0-9_.-]+==[0-9][0-9a-z.]*", line)]
    assert len(PINS) == len(LINES)


def test_torch_is_pinned_without_a_build():
    assert PINS["torch"] == "2.13.0"


@pytest.mark.parametrize(("extra", "requirement"), DECLARED, ids=str)
def test_every_dependency_is_pinned_to_a_version_it_accepts(extra, requirement):
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_core_install_is_small():
    names = {requirement.name for extra, requirement in DECLARED if not extra}
    assert names == {"click", "jinja2", "msgspec", "rich", "torch"}


def test_the_version_is_a_release():
    assert re.fullmatch(r"\d+\.\d+\.\d+", stepzero.__version__)
