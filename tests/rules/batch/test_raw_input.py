import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.rules.ask import ask, generator, reasons, severities

DRAW = generator(7)
X = torch.randn(64, 8, generator=DRAW)


def mlp():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def conv():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))


def image(*shape):
    return torch.rand(shape, generator=generator(3))


# -- what is reported -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("offset", "expected"), [(0.0, []), (2.0, []), (6.0, ["warning"])])
def test_offset_decides(offset, expected):
    assert severities("SZ901", mlp(), X + offset) == expected


@pytest.mark.parametrize(("scale", "expected"), [(0.01, ["warning"]), (0.1, []), (15.0, []), (40.0, ["warning"])])
def test_scale_decides(scale, expected):
    assert severities("SZ901", mlp(), scale * X) == expected


def test_one_wild_channel_is_enough():
    batch = X.clone()
    batch[:, 3] = 5000.0 + 300.0 * batch[:, 3]
    (finding,) = ask("SZ901", mlp(), batch)
    assert (finding.where, finding.cause, finding.limit) == (("0.weight",), "raw-input", 3.0)
    assert "'input'" in finding.message


def test_eight_bit_images():
    assert severities("SZ901", conv(), (255 * image(16, 3, 8, 8)).round()) == ["warning"]
    assert severities("SZ901", conv(), (255 * image(16, 3, 8, 8)).round() / 255) == []


def test_every_layer_that_reads_it_is_named():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x):
            return self.a(x) + self.b(x.view(-1, 8))

    assert [finding.where for finding in ask("SZ901", Two(), 100 * X)] == [("a.weight", "b.weight")]


# -- traps ----------------------------------------------------------------------------------------------------------


def test_ids_are_silent():
    model = nn.Sequential(nn.Embedding(1000, 8), nn.Linear(8, 4))
    assert severities("SZ901", model, torch.randint(0, 1000, (64,))) == []


@pytest.mark.parametrize(
    "batch",
    [
        (torch.rand(64, 8, generator=DRAW) > 0.9).float(),
        F.one_hot(torch.arange(64) % 8, 8).float(),
        torch.rand(64, 8, generator=DRAW),
        0.97 + 0.03 * torch.rand(64, 8, generator=DRAW),
    ],
    ids=["mask", "one-hot", "unit interval", "bright"],
)
def test_masks_one_hot_and_unit_intervals_are_silent(batch):
    assert severities("SZ901", mlp(), batch) == []


@pytest.mark.parametrize("scale", [1.0, 3.14])
def test_coordinates_are_silent(scale):
    model = nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 4))
    grid = torch.cartesian_prod(torch.linspace(-1, 1, 16), torch.linspace(-1, 1, 16))
    assert severities("SZ901", model, scale * grid) == []


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(8), nn.LayerNorm(8)])
def test_a_norm_first_is_silent(norm):
    assert severities("SZ901", nn.Sequential(norm, *mlp()), 1000 + 10 * X) == []


def test_the_model_s_own_rescaling_is_silent():
    class Rescaled(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = mlp()

        def forward(self, x):
            return self.net((x - 1000) / 10)

    assert severities("SZ901", Rescaled(), 1000 + 10 * X) == []


def test_constant_channels_and_rare_pixels_are_silent():
    """Flattened digits, standardised as a whole: borders never change, rims hardly ever."""
    batch = X.clone()
    batch[:, 0] = -0.42
    batch[:, 1] = -0.42
    batch[0, 1] = 0.1
    assert severities("SZ901", mlp(), batch) == []


def test_a_made_up_batch_is_not_judged():
    assert severities("SZ901", mlp(), 1000 + X, batch_is_stand_in=True) == []
    assert "made up" in reasons("SZ901", mlp(), 1000 + X, batch_is_stand_in=True)[0]


def test_too_few_positions_are_not_judged():
    assert severities("SZ901", mlp(), 1000 + X[:4]) == []
    assert "4 positions" in reasons("SZ901", mlp(), 1000 + X[:4])[0]


@pytest.mark.parametrize("seed", range(20))
def test_chance_does_not_speak(seed):
    """500 channels, 8 rows: some sample mean is far out in sample deviations."""
    model = nn.Linear(500, 4)
    assert severities("SZ901", model, torch.randn(8, 500, generator=generator(seed))) == []


def test_non_finite_input_is_left_to_others():
    batch = X.clone()
    batch[0, 0] = float("nan")
    assert severities("SZ901", mlp(), batch) == []
