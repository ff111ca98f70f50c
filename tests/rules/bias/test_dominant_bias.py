import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 32, generator=generator(7))


def mlp(bias, share=1.0, phi=None):
    """W x has rms 1 in every unit; the first ``share`` of the units have ``bias``."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), phi or nn.Tanh(), nn.Linear(64, 4))
    nn.init.orthogonal_(model[0].weight[:32])
    nn.init.orthogonal_(model[0].weight[32:])
    nn.init.zeros_(model[0].bias)
    with torch.no_grad():
        model[0].bias[: int(64 * share)] = bias
    return model


@pytest.mark.parametrize(("bias", "expected"), [(0.0, []), (2.0, []), (5.0, ["warning"]), (-5.0, ["warning"])])
def test_size_decides(bias, expected):
    assert severities("SZ601", mlp(bias), X) == expected


@pytest.mark.parametrize(("share", "expected"), [(0.4, []), (0.6, ["warning"])])
def test_share_decides(share, expected):
    assert severities("SZ601", mlp(5.0, share), X) == expected


def test_message_and_place():
    (finding,) = ask("SZ601", mlp(5.0), X)
    assert finding.where == ("0.bias",)
    assert "100% of the units in front of tanh" in finding.message


class Recurrent(nn.Module):
    def __init__(self, gate, value, kind=nn.LSTM):
        super().__init__()
        torch.manual_seed(0)
        self.rnn, self.head = kind(8, 32, batch_first=True), nn.Linear(32, 4)
        for name, parameter in self.rnn.named_parameters():
            (nn.init.orthogonal_ if "weight" in name else nn.init.zeros_)(parameter)
        self.rnn.bias_ih_l0.data[32 * gate : 32 * gate + 32] = value

    def forward(self, x):
        return self.head(self.rnn(x)[0][:, -1])


@pytest.mark.parametrize(
    ("gate", "value", "kind", "expected"),
    [
        (2, 5.0, nn.LSTM, ["warning"]),
        (2, 5.0, nn.GRU, ["warning"]),
        (0, 5.0, nn.RNN, ["warning"]),
        (2, 0.5, nn.LSTM, []),
        (1, 1.0, nn.LSTM, []),
        (3, -10.0, nn.LSTM, []),
        (0, 3.0, nn.GRU, []),
    ],
)
def test_cell_inputs_are_judged_and_gates_are_not(gate, value, kind, expected):
    x = torch.randn(64, 12, 8, generator=generator(1))
    assert severities("SZ601", Recurrent(gate, value, kind), x) == expected


# -- traps ----------------------------------------------------------------------------------------------------------


def test_gates_and_heads_are_silent():
    class Gated(nn.Module):
        def __init__(self):
            super().__init__()
            self.gate, self.up, self.down = nn.Linear(32, 64), nn.Linear(32, 64), nn.Linear(64, 4)
            nn.init.constant_(self.gate.bias, -9.0)
            nn.init.constant_(self.down.bias, -9.0)

        def forward(self, x):
            return torch.sigmoid(self.down(torch.sigmoid(self.gate(x)) * torch.tanh(self.up(x))))

    model = Gated()
    assert severities("SZ601", model.requires_grad_(), X) == []


def test_periodic_layers_are_silent():
    class Sine(nn.Module):
        def forward(self, x):
            return x.sin()

    assert severities("SZ601", mlp(9.0, phi=Sine()), X) == []


def test_zero_weights_are_another_matter():
    model = mlp(0.5)
    nn.init.zeros_(model[0].weight)
    assert severities("SZ601", model, X) == []


def test_default_starts_on_small_inputs_are_silent():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(32, 64), nn.ReLU(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 4))
    assert severities("SZ601", model, 0.5 * X) == []


def test_one_hot_inputs_are_silent():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(50, 64), nn.ReLU(), nn.Linear(64, 4))
    assert severities("SZ601", model, torch.eye(50)) == []
