import pytest

from stepzero.lab.update import OPTIMIZERS, Update


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_the_adaptive_ones_are_adam_and_its_kin(name):
    assert Update(name).is_adaptive == (name in {"adam", "adamw"})
