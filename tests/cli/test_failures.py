"""From what was raised to one line and an exit code."""

import click
import pytest

from stepzero.cli.failures import guarded, is_users, say
from stepzero.core.errors import IncompleteError, TargetError


def raising(error):
    def action():
        raise error

    return action


@pytest.mark.parametrize(("value", "code"), [(0, 0), (1, 1), (3, 3), (None, 0), ("text", 0)])
def test_what_an_action_returns_is_the_code(value, code):
    assert guarded(lambda: value) == code


@pytest.mark.parametrize(
    ("error", "code", "line"),
    [
        (TargetError("a\nb"), 2, "stepzero: a b"),
        (IncompleteError("nothing"), 3, "stepzero: nothing"),
        (click.UsageError("No such thing."), 2, "stepzero: no such thing"),
        (click.Abort(), 130, "stepzero: interrupted; nothing was reported"),
        (KeyboardInterrupt(), 130, "stepzero: interrupted; nothing was reported"),
    ],
)
def test_each_failure_is_one_line(capsys, error, code, line):
    assert guarded(raising(error)) == code
    assert capsys.readouterr().err == line + "\n"


def test_a_cause_from_user_code_is_shown_before_the_line(capsys):
    def action():
        try:
            {}["key"]
        except KeyError as error:
            raise TargetError("it failed") from error

    assert guarded(action) == 2
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].startswith("Traceback")
    assert lines[-2:] == ["KeyError: 'key'", "stepzero: it failed"]


def test_the_chain_of_causes_is_trimmed_as_well(capsys):
    def action():
        try:
            try:
                int("x")
            except ValueError as error:
                raise KeyError("inner") from error
        except KeyError as error:
            raise TargetError("it failed") from error

    guarded(action)
    text = capsys.readouterr().err
    assert text.index("ValueError") < text.index("KeyError: 'inner'") < text.index("stepzero: it failed")


def test_frames_decide_whose_fault_it_is():
    import torch

    for action in (lambda: int("x"), lambda: torch.nn.Linear(1, 1)(torch.ones(2, 3))):
        with pytest.raises((ValueError, RuntimeError)) as caught:
            action()
        assert is_users(caught.value)
    assert not is_users(ValueError("never raised"))


def test_say_is_one_line(capsys):
    say("a\n  b")
    assert capsys.readouterr().err == "stepzero: a b\n"
