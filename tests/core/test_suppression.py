"""What somebody wrote so that findings do not count."""

from stepzero.core.suppression import Suppression


def test_one_without_a_place_is_for_every_model():
    assert not Suppression("ignore", ("SZ302",)).is_local
    assert Suppression("per-module-ignores 'a.*'", ("SZ302",), pattern="a.*").is_local
    assert Suppression("a.py:3", ("SZ302",), lines=("a.py:3",)).is_local
