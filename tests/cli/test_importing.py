"""Finding the user's code."""

import sys

import pytest

from stepzero.cli.importing import Reference, attribute, load, reference, running, shortened
from stepzero.core.errors import TargetError


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("a.b:f", ("a.b", "f", None)),
        ("a/b.py:f", ("a/b.py", "f", None)),
        (r"C:\net.py:build", (r"C:\net.py", "build", None)),
        ("a:B.c(1, x={'k:v': 2})", ("a", "B.c", "1, x={'k:v': 2}")),
        ("dir (1)/a.py:f()", ("dir (1)/a.py", "f", "")),
        ("a:grösse", ("a", "grösse", None)),
    ],
)
def test_references_are_taken_apart(text, parts):
    assert reference(text) == Reference(*parts)


@pytest.mark.parametrize("text", ["a", "a:", ":b", "a:1b", "a:b(", "a:b)c", ""])
def test_other_forms_are_none(text):
    assert reference(text) is None


def test_a_dotted_attribute():
    assert attribute("app.mlp", "Net.forward").__name__ == "forward"


def test_the_working_directory_is_importable():
    assert load("app.mlp").WIDTH == 128


def test_a_module_is_run_once(folder):
    (folder / "counted.py").write_text("import sys\nsys.counted = getattr(sys, 'counted', 0) + 1\n")
    assert load("counted.py") is load("./counted.py") is load("counted")
    assert sys.counted == 1
    del sys.counted


def test_a_neighbour_can_be_imported_by_a_file(folder):
    (folder / "sub").mkdir()
    (folder / "sub" / "helper.py").write_text("x = 1\n")
    (folder / "sub" / "entry.py").write_text("from helper import x\n")
    assert load("sub/entry.py").x == 1


def test_other_kinds_of_files_are_refused(folder):
    (folder / "model.txt").write_text("")
    with pytest.raises(TargetError, match="expected a Python file that ends in"):
        load("./model.txt")


def test_what_user_code_raises_is_one_line_with_its_cause():
    with pytest.raises(TargetError) as caught, running("x could not be built"):
        raise ValueError("a\nb")
    assert str(caught.value) == "x could not be built: ValueError: a b"
    assert isinstance(caught.value.__cause__, ValueError)


def test_interrupts_are_not_caught():
    with pytest.raises(KeyboardInterrupt), running("x"):
        raise KeyboardInterrupt


def test_long_reasons_are_cut():
    assert shortened("a" * 300) == "a" * 197 + "..."
    assert shortened("a") == "a"
