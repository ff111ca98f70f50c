"""The public door: what `import stepzero` promises."""

import ast
import inspect
import subprocess
import sys

import pytest

import stepzero
from tests.source import PACKAGE


def typed_names() -> dict[str, str]:
    """Names and homes that a type checker sees: the imports under TYPE_CHECKING."""
    tree = ast.parse((PACKAGE / "__init__.py").read_text(encoding="utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    return {alias.name: node.module for node in block.body for alias in node.names}


def test_the_list_is_sorted_and_without_repeats():
    assert stepzero.__all__ == sorted(set(stepzero.__all__))


def test_every_name_has_a_home_and_every_home_a_name():
    assert set(stepzero.__all__) == set(stepzero._HOMES)


def test_a_type_checker_sees_the_same_names():
    assert typed_names() == stepzero._HOMES


@pytest.mark.parametrize("name", stepzero.__all__)
def test_every_name_is_there(name):
    value = getattr(stepzero, name)
    home = value.__name__.rpartition(".")[0] if inspect.ismodule(value) else value.__module__
    assert home == stepzero._HOMES[name], "the home is where the name is defined, not a stop on the way"
    assert value.__doc__


def test_schemes_come_on_first_use():
    code = "import sys, stepzero as sz; m = sys.modules; print('torch' in m); sz.schemes.he_; print('torch' in m)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "True"]


def test_dir_shows_the_list():
    assert set(stepzero.__all__) <= set(dir(stepzero))


def test_a_wrong_name_says_what_exists():
    with pytest.raises(AttributeError) as caught:
        stepzero.chekc  # noqa: B018 - the access is the test
    assert "'chekc'" in str(caught.value)
    assert all(name in str(caught.value) for name in stepzero.__all__)


def test_a_star_import_gives_the_list():
    names: dict[str, object] = {}
    exec("from stepzero import *", names)
    assert set(stepzero.__all__) <= set(names)


def test_the_door_is_light():
    heavy = ("torch", "numpy", "rich", "jinja2", "click", "msgspec")
    code = f"import sys, stepzero; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
