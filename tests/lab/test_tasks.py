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


@pytest.mark.parametrize("name", [name for name in tasks.TASKS if tasks.get(name).loss == "cross_entropy"])
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


def test_the_class_of_a_copied_word_is_its_beginning():
    found = tasks.get("copy")
    assert len({tuple(row) for row in found.inputs.tolist()}) == 256
    first, second = (found.inputs[:, place] > 0 for place in (0, 1))
    assert torch.equal(found.targets, first.long() + 2 * second.long())


def test_functions_of_one_number_are_what_they_are_called():
    step, chirp = tasks.get("step"), tasks.get("chirp")
    assert step.targets.unique().tolist() == [-1, 1]
    turns = (chirp.targets[1:] * chirp.targets[:-1] < 0).nonzero()[:, 0]
    assert len(turns) >= 3
    assert (turns.diff()[1:] < turns.diff()[:-1]).all()  # ever shorter waves


@pytest.mark.parametrize("name", tasks.SHAPES)
def test_pictures_and_sequences_have_the_shape_they_say(name):
    found = tasks.get(name)
    assert found.shape == tasks.SHAPES[name]
    assert found.inputs.shape[1] == found.shape[0] * found.shape[1]
