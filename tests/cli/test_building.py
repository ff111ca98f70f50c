"""From TARGET to a live model and its batch."""

import random

import pytest
import torch

from stepzero.cli.building import built
from stepzero.core.errors import TargetError


@pytest.fixture
def here(tmp_path, monkeypatch):
    (tmp_path / "made.py").write_text(
        "import torch\nfrom torch import nn\nready = nn.Linear(4, 2)\n"
        "def build():\n    return nn.Linear(4, 2), torch.ones(3, 4)\n"
        "def broken():\n    raise KeyError('x')\n"
    )
    monkeypatch.chdir(tmp_path)


@pytest.mark.usefixtures("here")
def test_one_seed_builds_one_model_and_leaves_the_random_state():
    before = torch.get_rng_state(), random.getstate()
    one, two = (built("made.py:build", batch=None, loss=None, seed=3) for _ in range(2))
    assert torch.equal(one.model.weight, two.model.weight)
    assert torch.equal(one.batch, torch.ones(3, 4))
    assert torch.equal(before[0], torch.get_rng_state())
    assert before[1] == random.getstate()


@pytest.mark.usefixtures("here")
def test_a_ready_model_takes_the_batch_given():
    made = built("made.py:ready", batch="randn(5,4)", loss="mse", seed=0)
    assert (made.batch.shape, made.loss) == ((5, 4), "mse")


@pytest.mark.usefixtures("here")
def test_a_factory_that_raises_is_told_as_its_own_failure():
    with pytest.raises(TargetError, match="could not be built"):
        built("made.py:broken", batch=None, loss=None, seed=0)
