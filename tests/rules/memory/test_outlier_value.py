import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(32, 64, generator=generator(7))


def mlp(weight=None, phi=None, **places):
    """64-64-4 with a Gaussian first weight, and single values put into it: ``r3c2=40.0``."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, 64), phi or nn.Identity(), nn.Linear(64, 4))
    with torch.no_grad():
        nn.init.normal_(model[0].weight, std=0.1)
        if weight is not None:
            model[0].weight.copy_(weight)
        for place, value in places.items():
            row, column = place[1:].split("c")
            model[0].weight[int(row), int(column)] = value
    return model


def identity_with_noise():
    return torch.eye(64) + 1e-4 * torch.randn(64, 64, generator=generator())


def two_scales():
    weight = 1e-6 * torch.randn(64, 64, generator=generator())
    weight[:32] *= 1e5
    return weight


def sparse():
    weight = torch.zeros(64, 64)
    weight[torch.arange(64), torch.randperm(64, generator=generator())] = 5.0
    return weight


TRAPS = {
    "gaussian": torch.randn(64, 64, generator=generator()),
    "uniform": torch.rand(64, 64, generator=generator()) - 0.5,
    "orthogonal": nn.init.orthogonal_(torch.empty(64, 64), generator=generator()),
    "identity": torch.eye(64),
    "identity with noise": identity_with_noise(),
    "sparse": sparse(),
    "two scales by design": two_scales(),
    "constant": torch.full((64, 64), 0.3),
    "truncated at 2 in absolute units": nn.init.trunc_normal_(torch.empty(64, 64), std=0.02, generator=generator()),
    "log-spaced frequencies": (torch.arange(64.0)[:, None] * 10000.0 ** (-torch.arange(64.0) / 64)) / 64,
}


@pytest.mark.parametrize("weight", TRAPS.values(), ids=TRAPS)
def test_draws_and_designs_are_silent(weight):
    assert severities("SZ103", mlp(weight), X) == []


def test_fewer_than_16_elements_are_silent():
    model = nn.Sequential(nn.Linear(64, 3), nn.Linear(3, 4))
    with torch.no_grad():
        model[1].weight[0, 0] = 1e4
    assert severities("SZ103", model, X) == []


def test_biases_with_a_forget_gate_or_a_prior_are_silent():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.rnn, self.head = nn.LSTM(64, 16, batch_first=True), nn.Linear(16, 20)

        def forward(self, x):
            return self.head(self.rnn(x[:, None])[0][:, 0])

    model = Net()
    with torch.no_grad():
        model.rnn.bias_hh_l0[16:32] = 1.0
        nn.init.zeros_(model.head.bias)
        model.head.bias[-1] = 4.6
    assert severities("SZ103", model, X) == []


def test_buffers_are_not_judged():
    model = mlp()
    model.register_buffer("mask", torch.cat([torch.zeros(32), torch.full((32,), -1e30)]))
    model.register_buffer("counts", torch.tensor([1] * 20 + [10**9]))
    assert severities("SZ103", model, X) == []


def test_one_value_out_of_reach_is_a_warning_with_its_numbers():
    (finding,) = ask("SZ103", mlp(r3c2=-7.0), X)
    assert (finding.severity, finding.where, finding.evidence) == ("warning", ("0.weight",), "value")
    assert finding.value == pytest.approx(70, rel=0.1)
    assert 6 < finding.limit < 9
    assert "holds -7" in finding.message


def test_the_limit_separates():
    limit = ask("SZ103", mlp(r3c2=-7.0), X)[0].limit
    spread = 7.0 / ask("SZ103", mlp(r3c2=-7.0), X)[0].value
    assert severities("SZ103", mlp(r3c2=1.0 + 1.2 * limit * spread), X) == ["warning"]
    assert severities("SZ103", mlp(r3c2=0.8 * limit * spread), X) == []


def test_error_when_the_unit_is_saturated_or_dead():
    (finding,) = ask("SZ103", mlp(phi=nn.Tanh(), r3c2=80.0), X)
    assert (finding.severity, finding.evidence) == ("error", "gradient")
    assert "unit 3 is saturated" in finding.message
    positive = X.abs()
    assert severities("SZ103", mlp(phi=nn.ReLU(), r3c2=-80.0), positive) == ["error"]
    assert severities("SZ103", mlp(phi=nn.ReLU(), r3c2=80.0), positive) == ["warning"]


def test_garbage_is_a_warning_and_an_error_when_the_loss_is_not_finite():
    assert severities("SZ103", mlp(r3c2=1e30), X, lambda output: output.tanh().mean()) == ["warning"]
    (finding,) = ask("SZ103", mlp(r3c2=1e30), X, lambda output: output.square().mean())
    assert finding.severity == "error"
    assert "1e+30" in finding.message


def test_garbage_in_a_vector_is_seen_too():
    model = mlp()
    with torch.no_grad():
        model[2].bias[1] = 1e30
    assert [finding.where for finding in ask("SZ103", model, X)] == [("2.bias",)]


def test_subnormal_numbers():
    weight = torch.randn(64, 64, generator=generator())
    weight[:8] = 1e-40
    (finding,) = ask("SZ103", mlp(weight), X)
    assert finding.severity == "warning"
    assert finding.value == pytest.approx(0.125)
    weight[2:8] = 0.1
    assert severities("SZ103", mlp(weight), X) == []
