"""Segments: where a run of layers begins and ends, and the line through it."""

import itertools
import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.measure.segments import Drift, drift, gradient_norm, segments, signal_rms, stream_path, varied_rms


def runs(model, batch, loss=None):
    """Weights of each segment, longest first."""
    return sorted((list(found.parameters) for found in segments(trace(model, batch, loss))), key=len, reverse=True)


def plain(depth, width=16, phi=nn.ReLU):
    layers = [layer for _ in range(depth) for layer in (nn.Linear(width, width), phi())]
    return nn.Sequential(*layers, nn.Linear(width, 4))


def test_a_plain_stack_is_one_segment():
    assert runs(plain(3), torch.randn(8, 16)) == [["0.weight", "2.weight", "4.weight", "6.weight"]]


def test_views_pools_dropout_bias_and_scale_do_not_end_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3), nn.Linear(8, 4)
            self.shift = nn.Parameter(torch.zeros(8, 1, 1))

        def forward(self, x):
            h = F.dropout(F.relu(self.a(x) + self.shift) * 0.5)
            return self.c(F.relu(self.b(F.max_pool2d(h, 2))).mean((2, 3)))

    assert runs(Net(), torch.randn(4, 3, 12, 12)) == [["a.weight", "b.weight", "c.weight"]]


@pytest.mark.parametrize("norm", [nn.BatchNorm1d(16), nn.LayerNorm(16), nn.Softmax(-1), nn.RMSNorm(16)])
def test_a_norm_or_softmax_ends_it(norm):
    model = nn.Sequential(nn.Linear(16, 16), nn.ReLU(), nn.Linear(16, 16), norm, nn.Linear(16, 16), nn.Linear(16, 4))
    assert runs(model, torch.randn(8, 16)) == [["0.weight", "2.weight"], ["4.weight", "5.weight"]]


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem, self.a, self.b, self.head = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, x):
        h = F.relu(self.stem(x))
        h = h + self.b(F.relu(self.a(h)))
        return self.head(h)


def test_a_skip_ends_it_on_both_sides():
    assert runs(Residual(), torch.randn(8, 16)) == [["a.weight", "b.weight"], ["stem.weight"], ["head.weight"]]


def test_a_gate_and_a_sum_of_two_streams_end_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.up, self.gate, self.down, self.other = (nn.Linear(16, 16) for _ in range(4))

        def forward(self, x):
            return self.down(self.up(x) * torch.sigmoid(self.gate(x))) + self.other(x)

    assert all(len(run) == 1 for run in runs(Net(), torch.randn(8, 16)))


def test_where_paths_part_the_longest_carries_on():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.a, self.b, self.c, self.side = (nn.Linear(16, 16) for _ in range(4))

        def forward(self, x):
            h = torch.tanh(self.a(x))
            return self.c(torch.tanh(self.b(h))), self.side(h)

    assert runs(Net(), torch.randn(8, 16)) == [["a.weight", "b.weight", "c.weight"], ["side.weight"]]


def test_a_skip_connection_by_concatenation_ends_it():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.down, self.deep, self.up = nn.Linear(16, 16), nn.Linear(16, 16), nn.Linear(32, 4)

        def forward(self, x):
            h = F.relu(self.down(x))
            return self.up(torch.cat([h, F.relu(self.deep(h))], -1))

    assert sorted(runs(Net(), torch.randn(8, 16))) == [["deep.weight"], ["down.weight"], ["up.weight"]]


def test_lookups_and_recurrent_cells_start_anew():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.embed, self.rnn, self.head = nn.Embedding(9, 8), nn.LSTM(8, 8, batch_first=True), nn.Linear(8, 4)

        def forward(self, x):
            return self.head(self.rnn(self.embed(x))[0])

    assert runs(Net(), torch.randint(0, 9, (8, 5))) == [["head.weight"]]


def test_a_layer_called_again_counts_again():
    shared = nn.Linear(16, 16)
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Tanh(), shared)
    (found,) = segments(trace(model, torch.randn(8, 16)))
    assert (len(found.operations), found.parameters) == (3, ("0.weight",))


def test_beta_is_that_of_hanin_and_rolnick_for_wide_layers():
    (found,) = segments(trace(plain(10, width=512), torch.randn(8, 512)))
    assert found.beta == pytest.approx(5 * 10 / 512, rel=0.01)
    assert found.chance == pytest.approx(3 * math.sqrt(found.beta) / 2 + found.beta / 4)


@pytest.mark.parametrize("width", [4, 8, 16, 64])
def test_beta_is_the_variance_that_one_layer_has(width):
    """relu(W h) with He's law: norm^2 is chi^2 with Binomial(n, 1/2) degrees of freedom."""
    (found,) = segments(trace(plain(1, width=width), torch.randn(8, width)))
    draws = torch.randn(400_000, width, generator=torch.Generator().manual_seed(0)).relu().square().sum(1)
    exact = draws[draws > 0].log().var().item()
    assert found.beta == pytest.approx(exact, rel=0.08)


def test_drift_of_a_known_factor():
    torch.manual_seed(0)
    model = nn.Sequential(*(nn.Linear(32, 32, bias=False) for _ in range(8)))
    for layer in model:
        nn.init.orthogonal_(layer.weight, gain=0.5)
    (found,) = segments(trace(model, torch.randn(64, 32)))
    for quantity, factor in ((signal_rms, 0.5), (varied_rms(1e-12), 0.5), (gradient_norm, 2.0)):
        line = drift(found, quantity, least=4)
        assert line is not None
        assert line.factor == pytest.approx(factor, rel=0.02)
        assert line.range == pytest.approx(2.0**7, rel=0.1)


def test_gradient_norm_does_not_mind_widths_and_pools():
    """He's law by fan in keeps the norm of the gradient, whatever the widths."""
    torch.manual_seed(0)
    widths = [64, 256, 512, 128, 512, 64, 256]
    layers = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after), nn.ReLU()]
        nn.init.kaiming_normal_(layers[-2].weight)
        nn.init.zeros_(layers[-2].bias)
    (found,) = segments(trace(nn.Sequential(*layers, nn.Linear(256, 10)), torch.randn(128, 64)))
    line = drift(found, gradient_norm, least=4)
    assert line is not None
    assert 0.85 < line.factor < 1.15


def test_no_line_through_too_few_zero_or_unmeasured_layers():
    torch.manual_seed(0)
    model = plain(3)
    (found,) = segments(trace(model, torch.randn(8, 16)))
    assert drift(found, signal_rms, least=5) is None
    nn.init.zeros_(model[6].weight)
    nn.init.zeros_(model[6].bias)
    (zero,) = segments(trace(model, torch.randn(8, 16)))
    assert drift(zero, signal_rms, least=4) is None
    assert drift(zero, gradient_norm, least=4) is None
    assert drift(zero, lambda _: None, least=4) is None


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("factor", "layers", "chance", "exceeds"),
    [(1.5, 20, 0.0, True), (1.2, 40, 0.0, False), (1.5, 5, 0.0, False), (1.5, 20, 10.0, False), (1e300, 20, 0.0, True)],
)
def test_a_drift_counts_in_either_direction_beyond_factor_range_and_chance(sign, factor, layers, chance, exceeds):
    line = Drift(sign * math.log(factor), layers, 1.0, 2.0, chance)
    assert line.exceeds(1.25, 100.0) is exceeds


def test_a_drift_told_in_words():
    words = Drift(math.log(2), 5, 1.0, 16.0, 0.0).words
    assert words == "changes by a factor 2 a layer over 5 layers, 16 in all (1 to 16)"


def test_the_path_of_a_stream_follows_what_is_louder_at_each_addition():
    """Drawn alike the skip, which has one layer fewer; with a branch ten times as large the branch."""
    torch.manual_seed(0)
    model, x = Residual(), torch.randn(8, 16)
    found = stream_path(trace(model, x))
    assert found is not None
    assert found.parameters == ("stem.weight", "head.weight")
    with torch.no_grad():
        model.b.weight.mul_(100)
    found = stream_path(trace(model, x))
    assert found is not None
    assert found.parameters == ("stem.weight", "a.weight", "b.weight", "head.weight")


def test_a_plain_stack_and_a_norm_have_no_such_path():
    assert stream_path(trace(plain(3), torch.randn(8, 16))) is None
    model = nn.Sequential(Residual(), nn.LayerNorm(16), nn.Linear(16, 4))
    assert stream_path(trace(model, torch.randn(8, 16))) is None
