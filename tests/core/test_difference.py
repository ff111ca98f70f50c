"""A difference between two reports: its exit code, and its JSON."""

import json
from dataclasses import replace

import pytest

from stepzero.core.difference import Changed, Difference, Moved
from tests.report.samples import CONSTANT, LOUD, NOTE, TWINS


def made(**changes):
    return replace(Difference("a", "b"), **changes)


@pytest.mark.parametrize(
    ("changes", "fail_on", "code"),
    [
        ({}, "warning", 0),
        ({"new": (CONSTANT,)}, "error", 1),
        ({"new": (LOUD,)}, "error", 0),
        ({"new": (LOUD,)}, "warning", 1),
        ({"new": (NOTE,)}, "warning", 0),
        ({"new": (CONSTANT,)}, "never", 0),
        ({"new": (TWINS,)}, "error", 0),  # a consequence: its root cause was there before
        ({"gone": (CONSTANT,)}, "warning", 0),
        ({"changed": (Changed(replace(LOUD, severity="warning"), replace(LOUD, severity="error")),)}, "error", 1),
        ({"changed": (Changed(CONSTANT, replace(CONSTANT, value=1.0)),)}, "warning", 0),
        ({"incomplete": ("a: forward: not run",)}, "error", 3),
        ({"incomplete": ("a: forward: not run",), "new": (CONSTANT,)}, "error", 1),
    ],
)
def test_only_what_is_new_or_louder_fails(changes, fail_on, code):
    assert made(**changes).exit_code(fail_on) == code


def test_it_is_empty_only_when_nothing_differs():
    assert made().is_empty
    assert not made(moved=(Moved("fc", "units", 1.0, 2.0),)).is_empty
    assert not made(layers_gone=("fc",)).is_empty


def test_its_json_is_pure():
    text = made(moved=(Moved("fc", "law_ratio", 1.0, float("inf")),)).to_json()
    assert json.loads(text, parse_constant=lambda name: 1 / 0)["moved"][0]["after"] == "inf"
