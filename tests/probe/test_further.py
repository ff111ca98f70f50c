from dataclasses import fields

import pytest
from torch import nn

from stepzero import rules
from stepzero.api.asked import LATE
from stepzero.core.trace import Trace
from stepzero.probe import further
from stepzero.probe.subject import subject_of
from tests.probe.observing import seeded


def subject():
    return subject_of(nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)), seeded(16, 4), "mse", seeded(16, 1))


def ran(trace):
    return {name for name in further.PROBES if getattr(trace, name).ran}


def test_every_probe_has_a_place_on_the_trace():
    assert set(further.PROBES) <= {field.name for field in fields(Trace)}


def test_every_need_of_a_rule_is_a_probe():
    assert {need for rule in rules.ALL for need in rule.needs} <= {*further.PROBES, *LATE}


def test_a_sound_network_gives_no_reason():
    assert ran(further.observed(subject(), further.PROBES)) == set()


def test_a_deep_check_measures_more():
    found = ran(further.observed(subject(), further.PROBES, deep=True))
    assert {"isolate", "kernel"} <= found
    assert found.isdisjoint(["symmetry", "wake", "control"])


def test_only_what_is_asked_for_runs():
    assert ran(further.observed(subject(), ["kernel"], deep=True)) == {"kernel"}


@pytest.mark.parametrize("name", ["symmetry", "kernel", "first_step"])
def test_a_crash_is_told_and_not_raised(name, monkeypatch):
    from dataclasses import replace

    monkeypatch.setitem(further.PROBES, name, replace(further.PROBES[name], run=lambda *_: 1 / 0))
    trace = further.probed(further.observed(subject(), ()), subject(), [name])
    assert getattr(trace, name).reason == "crashed: ZeroDivisionError: division by zero"
