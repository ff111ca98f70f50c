"""A difference as text."""

from dataclasses import replace

from stepzero.report.difference import MOST_LAYERS, render
from stepzero.report.style import Paint
from stepzero.verdict.difference import difference
from tests.report.samples import LOUD, fault, incomplete, row, sound

PLAIN = Paint(color=False)


def told(before, after, width=100):
    return render(difference(before, after), width, PLAIN)


def test_no_difference_is_said_in_words():
    assert told(fault(), fault()).splitlines()[-1] == "no difference"


def test_new_and_gone_have_their_sign():
    there, back = told(sound(), fault()), told(fault(), sound())
    assert "+ error SZ206 constant-weight  fc1.weight" in there
    assert "(a consequence)" in there
    assert "- error SZ206 constant-weight  fc1.weight" in back
    assert there.splitlines()[-1] == "5 new, 0 gone, 0 changed; 0 layers moved"


def test_a_change_names_what_changed():
    one, two = replace(LOUD, value=1.0, unit="nats"), replace(LOUD, value=4.0, unit="nats", severity="error")
    text = told(replace(sound(), findings=(one,)), replace(sound(), findings=(two,)))
    assert "~ SZ501 loud-start  head.weight: warning → error, 1 → 4 nats" in text


def test_layers_are_told_to_a_limit():
    many = tuple(row(number, f"l.{number}.weight") for number in range(MOST_LAYERS + 3))
    moved = tuple(replace(each, law_ratio=9.0) for each in many)
    text = told(replace(sound(), layers=many), replace(sound(), layers=moved))
    assert "l.0.weight  law ratio 1.01 → 9" in text
    assert "... 3 more layers" in text


def test_incomplete_is_told_first():
    assert "INCOMPLETE  app.mlp:build: SZ305 dead-units" in told(sound(), incomplete())


def test_no_line_is_longer_than_the_terminal():
    assert max(map(len, told(sound(), fault(), width=60).splitlines())) <= 60
