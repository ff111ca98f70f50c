from dataclasses import FrozenInstanceError

import pytest

from stepzero.core.isolation import NO_ISOLATION, IsolationFact, Leak


def test_not_asked_for_nothing_is_known():
    assert not NO_ISOLATION.ran
    assert (NO_ISOLATION.samples, NO_ISOLATION.future, NO_ISOLATION.claim) == (None, None, "")


def test_a_record_is_frozen():
    fact = IsolationFact(ran=True, samples=Leak(1.0, 2, 3))
    with pytest.raises(FrozenInstanceError):
        fact.ran = False
