import pytest
import torch

from stepzero.core.errors import ConfigError
from stepzero.lab import tasks


@pytest.mark.parametrize("name", tasks.TASKS)
def test_a_task_is_finite_whole_and_the_same_each_time(name):
    found = tasks.get(name)
    assert found.inputs.dtype == torch.float32
    assert found.inputs.isfinite().all()
    assert len(found.inputs) == len(found.targets)
    tasks._made.cache_clear()
    again = tasks.get(name)
    assert torch.equal(again.inputs, found.inputs)
    assert torch.equal(again.targets, found.targets)


@pytest.mark.parametrize("name", [name for name in tasks.TASKS if name not in {"teacher", "sine"}])
def test_no_class_is_rare(name):
    found = tasks.get(name)
    counts = found.targets.bincount(minlength=tasks.num_outputs(found))
    assert counts.min() > 0.7 * len(found.targets) / tasks.num_outputs(found)


def test_a_line_cannot_solve_xor_and_solves_linear():
    def error(name):
        found = tasks.get(name)
        x, y = torch.cat([found.inputs, torch.ones(len(found.inputs), 1)], 1).double(), found.targets * 2.0 - 1
        return float(((x @ torch.linalg.lstsq(x, y[:, None].double()).solution)[:, 0] * y < 0).double().mean())

    assert error("linear") < 0.05
    assert error("xor") > 0.3


def test_a_probe_is_the_beginning_in_double_precision():
    found = tasks.probe(tasks.get("clusters"))
    assert found.inputs.dtype == torch.float64
    assert len(found.inputs) == len(found.targets) == tasks.PROBE


def test_a_wrong_name_says_which_is_near():
    with pytest.raises(ConfigError, match="did you mean 'spirals'"):
        tasks.get("spiral")
