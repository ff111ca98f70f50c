"""Two reports compared: findings in pairs, and layers that moved."""

from dataclasses import replace

from stepzero.core.limits import Limits
from stepzero.verdict.difference import difference
from tests.report.samples import CONSTANT, LOUD, fault, incomplete, sound


def test_a_report_does_not_differ_from_itself():
    for report in (fault(), sound()):
        assert difference(report, report).is_empty
    assert difference(incomplete(), incomplete()).exit_code() == 3


def test_what_is_new_and_gone_are_each_others_mirror():
    there, back = difference(sound(), fault()), difference(fault(), sound())
    assert there.new == back.gone == fault().findings
    assert there.gone == back.new == ()
    assert (there.exit_code(), back.exit_code()) == (1, 0)


def changed(before, after):
    found = difference(replace(sound(), findings=(before,)), replace(sound(), findings=(after,)))
    assert (found.new, found.gone) == ((), ())
    return found.changed


def test_a_finding_changes_by_severity_place_or_a_number_far_enough():
    assert changed(CONSTANT, replace(CONSTANT, message="in other words")) == ()
    assert changed(LOUD, replace(LOUD, severity="error"))[0].is_louder
    assert changed(CONSTANT, replace(CONSTANT, where=("fc1.weight", "fc9.weight")))
    number = replace(LOUD, value=1.0)
    assert not changed(number, replace(LOUD, value=Limits().diff_factor * 0.99))
    assert changed(number, replace(LOUD, value=Limits().diff_factor * 1.01))
    assert changed(number, replace(LOUD, value=-1.0))
    assert changed(number, replace(LOUD, value=None))
    assert not changed(replace(LOUD, value=float("nan")), replace(LOUD, value=float("nan")))


def test_another_place_is_another_finding():
    found = difference(
        replace(sound(), findings=(CONSTANT,)), replace(sound(), findings=(replace(CONSTANT, where=("fc2.weight",)),))
    )
    assert (len(found.new), len(found.gone), found.changed) == (1, 1, ())


def test_layers_that_moved_came_and_went():
    before = sound()
    one, two, three = before.layers
    moved, near = replace(one, law_ratio=4.0, distinct=7), replace(two, signal_out=0.72)
    found = difference(before, replace(before, layers=(moved, near, replace(three, path="x"))))
    told = [(move.path, move.quantity) for move in found.moved]
    assert told == [("fc1.weight", "law_ratio"), ("fc1.weight", "distinct")]
    assert (found.layers_new, found.layers_gone) == (("x",), ("head.weight",))


def test_a_layer_that_is_called_twice_is_compared_call_by_call():
    row = sound().layers[0]
    before = replace(sound(), layers=(row, replace(row, signal_out=1.0)))
    after = replace(sound(), layers=(row, replace(row, signal_out=9.0)))
    (moved,) = difference(before, after).moved
    assert (moved.before, moved.after) == (1.0, 9.0)
