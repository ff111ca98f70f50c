import pytest
import torch

from stepzero.lab.studies import linear


def test_inputs_are_white_and_targets_have_variance_one():
    found = linear.samples()
    x = found.inputs.double()
    torch.testing.assert_close(
        x.T @ x / linear.SAMPLES, torch.eye(linear.WIDTH, dtype=torch.float64), atol=1e-5, rtol=0
    )
    assert float(found.targets.std()) == pytest.approx(1, rel=1e-5)


def test_sixteen_layers_learn_as_fast_as_four_from_orthogonal_weights():
    shallow, deep = (linear.steps("orthogonal", layers, 0, 400).min() for layers in (4, 16))
    assert deep < 1.6 * shallow
    assert linear.steps("lecun", 16, 0, 400).min() > 3 * deep


@pytest.mark.slow
def test_the_time_is_flat_in_depth_from_orthogonal_weights_and_grows_from_gaussian_ones():
    answer = linear.run("short", None)
    fast, slow = answer.facts["orthogonal"], answer.facts["Gaussian"]
    assert answer.facts["layers"][1] == 4
    assert max(fast[1:]) < 2 * min(fast[1:])
    assert slow[-1] is None
    reached = [time for time in slow if time is not None]
    assert reached == sorted(reached)
    assert reached[-1] > 5 * reached[0]
    assert "Does depth slow learning down?" in linear.page(answer)
