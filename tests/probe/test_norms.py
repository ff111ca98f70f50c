"""What is taken off in front of a norm is what the norm takes off itself."""

import pytest
import torch
import torch.nn.functional as F

from stepzero.probe.norms import without_means
from tests.probe.observing import seeded

X = seeded(5, 4, 3, 2).double()
SHIFT = seeded(4, seed=1).double().view(1, 4, 1, 1)
CALLS = {
    "batch_norm": (F.batch_norm, (None, None), {"training": True}),
    "instance_norm": (F.instance_norm, (), {}),
    "group_norm": (F.group_norm, (4,), {}),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_shift_of_each_channel_is_lost_in_both(name):
    norm, args, kwargs = CALLS[name]
    one, other = (without_means(name, (x, *args), kwargs, (1,)) for x in (X, X + SHIFT))
    torch.testing.assert_close(one, other)
    torch.testing.assert_close(norm(X, *args, **kwargs), norm(X + SHIFT, *args, **kwargs))
    torch.testing.assert_close(norm(one, *args, **kwargs), norm(X, *args, **kwargs))


@pytest.mark.parametrize(
    ("name", "args", "kwargs"),
    [
        ("batch_norm", (X, torch.zeros(4), torch.ones(4)), {}),
        ("instance_norm", (X,), {"use_input_stats": False}),
        ("group_norm", (X, 2), {}),
        ("layer_norm", (X, (4, 3, 2)), {}),
        ("group_norm", (X[..., 0, 0], 4), {}),
    ],
)
def test_stored_statistics_and_norms_over_several_channels_leave_a_shift(name, args, kwargs):
    assert without_means(name, args, kwargs, (1,)) is None


def test_units_along_another_axis_are_left_alone():
    assert without_means("batch_norm", (X, None, None), {"training": True}, (3,)) is None
