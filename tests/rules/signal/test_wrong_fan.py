import itertools
import math

import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 256, generator=generator(7))


class Net(nn.Module):
    """Matrices stored (in, out) and used as ``x @ W``."""

    def __init__(self, mode, shapes=((256, 32), (32, 512), (512, 4))):
        super().__init__()
        self.weights = nn.ParameterList(torch.empty(shape) for shape in shapes)
        for number, weight in enumerate(self.weights):
            nn.init.kaiming_normal_(weight, mode=mode, generator=generator(number))

    def forward(self, x):
        for weight in self.weights[:-1]:
            x = torch.relu(x @ weight)
        return x @ self.weights[-1]


def test_matrices_read_the_other_way_round():
    (finding,) = ask("SZ313", Net("fan_in"), X)
    assert (finding.severity, finding.cause) == ("warning", "wrong-fan")
    assert finding.where == ("weights.0", "weights.2")  # in the middle Glorot's law fits as well
    assert "axis 1 of the stored tensor" in finding.message


def test_the_fix_brings_the_law_back():
    model = Net("fan_in")
    (finding,) = ask("SZ313", model, X)
    weight = model.get_parameter(finding.fix.parameter)
    fixed = float((weight * finding.fix.arguments["factor"]).detach().std())
    assert fixed == pytest.approx(math.sqrt(2 / weight.shape[0]), rel=0.1)


def depthwise(*, is_wrong, norm=False, channels=64, groups=None):
    parts = []
    for number in range(4):
        conv = nn.Conv2d(channels, channels, 3, padding=1, groups=groups or channels)
        fan = channels * 9 if is_wrong else 9
        nn.init.normal_(conv.weight, std=math.sqrt(2 / fan), generator=generator(number))
        parts += [conv, *([nn.BatchNorm2d(channels)] if norm else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, 4))


IMAGES = torch.randn(8, 64, 8, 8, generator=generator(3))


@pytest.mark.parametrize(
    ("is_wrong", "norm", "expected"), [(True, False, ["warning"]), (True, True, ["info"]), (False, False, [])]
)
def test_depthwise_convolutions(is_wrong, norm, expected):
    assert severities("SZ313", depthwise(is_wrong=is_wrong, norm=norm), IMAGES) == expected


def separable(*, norm):
    """Depthwise, then pointwise, then a norm that takes off the scale of both."""
    parts = []
    for number in range(4):
        conv, mix = nn.Conv2d(64, 64, 3, padding=1, groups=64), nn.Conv2d(64, 64, 1)
        nn.init.normal_(conv.weight, std=math.sqrt(2 / (64 * 9)), generator=generator(number))
        nn.init.normal_(mix.weight, std=math.sqrt(2 / 64), generator=generator(10 + number))
        parts += [conv, mix, *([nn.BatchNorm2d(64)] if norm else []), nn.ReLU()]
    return nn.Sequential(*parts, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 4))


@pytest.mark.parametrize(("norm", "expected"), [(True, ["info"]), (False, ["warning"])])
def test_a_norm_behind_another_linear_layer_takes_the_scale_off(norm, expected):
    assert severities("SZ313", separable(norm=norm), IMAGES) == expected


@pytest.mark.parametrize(
    ("widths", "expected"), [((256, 128, 64, 32, 16), ["info"]), ((64, 128, 256, 512), ["warning"])]
)
def test_torchs_default_of_transposed_convolutions_is_a_note_while_they_halve_their_channels(widths, expected):
    torch.manual_seed(0)
    layers = [
        part
        for first, second in itertools.pairwise(widths)
        for part in (nn.ConvTranspose2d(first, second, 2, 2), nn.ReLU())
    ]
    model = nn.Sequential(*layers[:-1])
    assert severities("SZ313", model, torch.randn(2, widths[0], 1, 1)) == expected


# -- traps ----------------------------------------------------------------------------------------------------------


def test_true_fans_in_and_out_are_silent():
    assert severities("SZ313", Net("fan_out"), X) == []
    model = nn.Sequential(nn.Linear(256, 32), nn.ReLU(), nn.Linear(32, 512), nn.ReLU(), nn.Linear(512, 4))
    for mode in ("fan_in", "fan_out"):
        for layer in model[::2]:
            nn.init.kaiming_normal_(layer.weight, mode=mode)
        assert severities("SZ313", model, X) == []


def test_square_layers_are_silent():
    assert severities("SZ313", Net("fan_in", ((256, 256), (256, 256), (256, 256))), X) == []


@pytest.mark.parametrize("std", [0.02, 0.01, 0.05])
def test_numbers_chosen_by_hand_are_silent(std):
    model = Net("fan_in")
    for weight in model.weights:
        nn.init.normal_(weight, std=std)
    assert severities("SZ313", model, X) == []


@pytest.mark.parametrize("draw", [nn.init.xavier_uniform_, nn.init.xavier_normal_, nn.init.orthogonal_])
def test_symmetric_laws_are_silent(draw):
    model = Net("fan_in")
    for weight in model.weights:
        draw(weight)
    assert severities("SZ313", model, X) == []


def test_defaults_are_silent():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(64, 64, 3, groups=8), nn.ReLU(), nn.ConvTranspose2d(64, 16, 4, 2), nn.ReLU())
    model = nn.Sequential(model, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 4))
    assert severities("SZ313", model[0][:2], IMAGES) == []


def test_it_is_the_root_of_the_scale_and_of_the_drift():
    report = stepzero.check(depthwise(is_wrong=True), IMAGES, "cross_entropy", torch.arange(8) % 4)
    roots = {finding.code: finding.root for finding in report.findings}
    assert roots["SZ313"] is None
    assert roots["SZ302"].startswith("SZ313")
