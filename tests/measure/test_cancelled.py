"""What a norm or a softmax takes off again is told from a gradient that is merely small, and redrawing proves it."""

import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.core.limits import Limits
from stepzero.measure.cancelled import cancelled
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends

IMAGES = seeded(6, 3, 9, 9)


def names(model, batch=X, loss=square):
    return cancelled(trace(model, batch, loss), Limits())


def bottleneck():
    """A linear bottleneck with a skip, as in MobileNet: the shift of its last norm goes on to norms only."""

    class Block(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.norm = nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8)
            self.down, self.last = nn.Conv2d(8, 4, 1, bias=False), nn.BatchNorm2d(4)

        def forward(self, x):
            return x + self.last(self.down(torch.relu(self.norm(self.up(x)))))

    torch.manual_seed(0)
    stem = (nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4))
    end = (nn.Conv2d(4, 8, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    return nn.Sequential(*stem, Block(), Block(), *end, nn.Linear(8, 3))


def separable():
    """A norm's channels go one by one into a depthwise convolution and the next norm: its gain is taken off, too."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), nn.Conv2d(6, 6, 3, groups=6), nn.BatchNorm2d(6))
    with torch.no_grad():
        layers[2].weight.mul_(20)  # the norm's epsilon breaks the invariance, but not beside this variance
    return nn.Sequential(*layers, nn.ReLU(), nn.Flatten(), nn.Linear(6 * 25, 3))


@pytest.mark.parametrize(
    ("model", "batch", "expected"),
    [
        (nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3)), X, ("0.bias",)),
        (nn.Sequential(nn.Conv2d(3, 4, 3), nn.InstanceNorm2d(4), nn.Flatten(), nn.Linear(196, 3)), IMAGES, ("0.bias",)),
        (Attends(bias=True), TOKENS, ("k.bias",)),
        (bottleneck(), IMAGES, ("1.bias", "2.last.bias", "3.last.bias")),
        (separable(), IMAGES, ("1.weight", "1.bias", "2.bias")),
    ],
)
def test_what_is_taken_off_again_is_found_and_changes_nothing(model, batch, expected):
    assert names(model, batch) == expected
    output = model(batch)
    with torch.no_grad():
        for name in expected:
            parameter = model.get_parameter(name)
            parameter.mul_(1 + torch.rand(parameter.shape)) if name.endswith("weight") else parameter.normal_()
    torch.testing.assert_close(model(batch), output, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("norm", [nn.LayerNorm(8), nn.GroupNorm(2, 8), nn.RMSNorm(8), nn.Identity()])
def test_norms_that_leave_the_bias_a_direction_are_not(norm):
    assert names(nn.Sequential(nn.Linear(6, 8), norm, nn.Tanh(), nn.Linear(8, 3))) == ()


def test_a_way_round_the_norm_keeps_the_bias():
    def forward(self, x):
        h = self.first(x)
        return self.head(torch.tanh(h) + self.norm(h))

    assert names(Net(forward, first=nn.Linear(6, 8), norm=nn.BatchNorm1d(8), head=nn.Linear(8, 3))) == ()


def test_zeros_at_the_border_of_the_next_convolution_see_the_shift():
    model = separable()
    model[2].padding = (1, 1)
    model[6] = nn.Linear(6 * 49, 3)
    assert "1.bias" not in names(model, IMAGES)


def test_a_small_gradient_that_does_not_cancel_is_no_rounding():
    """Behind a factor of 1e-9 everything is faint; the sum over samples is as large as its terms make it."""

    def forward(self, x):
        return self.head(x) + 1e-9 * self.last(torch.tanh(self.first(x)))

    model = Net(forward, first=nn.Linear(6, 8), last=nn.Linear(8, 3), head=nn.Linear(6, 3))
    assert names(model) == ()


def test_opposite_samples_cancel_at_an_activation_and_prove_nothing():
    """With odd data, network and target the bias has no gradient by symmetry, and an effect all the same."""
    torch.manual_seed(0)
    model = stack(6, 8, 3)
    for layer in (model[0], model[2]):
        nn.init.zeros_(layer.bias)
    batch = torch.cat([X, -X])
    assert names(model, batch, lambda output: (output - batch[:, :3]).square().mean()) == ()


def test_key_biases_under_rotated_keys_are_live():
    class Rotated(Attends):
        def forward(self, x):
            q, k, v = self.q(x), self.k(x), self.v(x)
            turn = torch.linspace(0, 3, x.shape[1])[:, None]
            half = k.shape[-1] // 2
            k = torch.cat([k[..., :half] * turn.cos() - k[..., half:] * turn.sin(), k[..., half:]], -1)
            return self.o(torch.softmax(q @ k.mT / k.shape[-1] ** 0.5, -1) @ v)

    assert names(Rotated(bias=True), TOKENS) == ()


def rectified(*, shift=0.0, phi=nn.ReLU):
    """The gain of a norm goes through a rectifier, channel by channel, into the next norm."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(3, 6, 3, bias=False), nn.BatchNorm2d(6), phi(), nn.Conv2d(6, 6, 3, groups=6, bias=False))
    with torch.no_grad():
        layers[1].bias.fill_(shift)
        layers[3].weight.mul_(20)
    return nn.Sequential(*layers, nn.BatchNorm2d(6), nn.Tanh(), nn.Flatten(), nn.Linear(6 * 25, 3))


@pytest.mark.parametrize(
    ("model", "is_taken_off"),
    [
        (rectified(), True),
        (rectified(phi=nn.ReLU6), True),
        (rectified(phi=lambda: nn.LeakyReLU(0.2)), True),
        (rectified(shift=0.5), False),
        (rectified(phi=nn.GELU), False),
        (rectified(phi=lambda: nn.Hardtanh(0.0, 1.0)), False),
    ],
)
def test_a_gain_before_a_rectifier_is_taken_off_where_nothing_was_added_or_cut_off(model, is_taken_off):
    assert ("1.weight" in names(model, IMAGES)) == is_taken_off


def test_masks_between_keys_and_softmax_and_what_leads_elsewhere_are_looked_through():
    def forward(self, x):
        q, k, v = self.q(x), self.k(x), self.v(x)
        self.seen = k.detach().amax()  # statistics for later
        logits = torch.max(q @ k.mT, torch.tensor(-1e4))
        return self.o((logits.softmax(-1) @ v).mean(1))

    torch.manual_seed(0)
    model = Net(forward, **{name: nn.Linear(6, 6) for name in "qkv"}, o=nn.Linear(6, 3))
    assert names(model, TOKENS[..., :6] if TOKENS.shape[-1] >= 6 else seeded(4, 5, 6)) == ("k.bias",)
