import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.measure import zeros
from tests.rules.ask import ask, severities

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(7))
LABELS = torch.arange(32) % 4


def loss(output):
    return F.cross_entropy(output, LABELS)


def mlp(phi=nn.Tanh, **fills):
    """8-16-16-4 with zero biases; ``w0=0.1`` fills a weight."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), phi(), nn.Linear(16, 16), phi(), nn.Linear(16, 4))
    for name, parameter in model.named_parameters():
        if name.endswith("bias"):
            nn.init.zeros_(parameter)
        if (value := fills.get(f"w{name[0]}")) is not None and name.endswith("weight"):
            nn.init.constant_(parameter, value)
    return model


def found(model, batch=X, goal=loss):
    return {finding.where: (finding.severity, finding.message) for finding in ask("SZ206", model, batch, goal)}


# -- severities -----------------------------------------------------------------------------------------------------


def test_copies_for_ever_are_an_error():
    (finding,) = ask("SZ206", mlp(w0=0.1, w2=0.1, w4=0.1), X, loss)[:1]
    assert (finding.severity, finding.where, finding.cause) == ("error", ("0.weight", "2.weight"), "constant-fill")
    assert "0.1" in finding.message


def test_equal_rows_that_columns_tell_apart_are_a_warning():
    assert found(mlp(w0=0.01))[("0.weight",)][0] == "warning"


def test_constant_head_is_a_warning():
    assert found(mlp(w4=0.1))[("4.weight",)][0] == "warning"


def test_zero_hidden_weight_before_a_rectifier_is_an_error():
    (finding,) = ask("SZ206", mlp(nn.ReLU, w2=0.0), X, loss)
    assert (finding.severity, finding.where, finding.cause) == ("error", ("2.weight",), "kink-at-zero")


def test_zero_hidden_weight_before_tanh_is_a_note():
    assert found(mlp(w2=0.0))[("2.weight",)][0] == "info"


def test_zero_behind_zero_is_an_error():
    (finding,) = ask("SZ206", mlp(w2=0.0, w4=0.0), X, loss)
    assert (finding.severity, finding.where, finding.cause) == ("error", ("2.weight", "4.weight"), "zero-factor-pair")


def test_everything_zero_is_an_error():
    assert "error" in severities("SZ206", mlp(w0=0.0, w2=0.0, w4=0.0), X, loss)


def test_sigmoid_everything_zero_is_an_error_as_its_head_stays_a_copy():
    """theory 1.6: everything zero under a sigmoid moves, but one unit wide."""
    assert {severity for severity, _ in found(mlp(nn.Sigmoid, w0=0.0, w2=0.0, w4=0.0)).values()} <= {"info", "error"}


def test_equal_within_rounding_counts():
    model = mlp(w0=0.3, w2=0.3)
    with torch.no_grad():
        model[0].weight.mul_(1 + 1e-7 * torch.rand(16, 8))
    assert ("0.weight",) in found(model) or ("0.weight", "2.weight") in found(model)
    with torch.no_grad():
        model[0].weight.mul_(1 + 1e-4 * torch.rand(16, 8))
    assert not any("0.weight" in where for where in found(model))


def test_bfloat16_rounds_more():
    model = mlp(w0=0.3).to(torch.bfloat16)
    assert ("0.weight",) in found(model, X.to(torch.bfloat16), lambda output: loss(output.float()))


# -- traps ----------------------------------------------------------------------------------------------------------


def test_eight_elements_or_fewer_are_silent():
    model = nn.Sequential(nn.Linear(4, 2), nn.Tanh(), nn.Linear(2, 4))
    nn.init.constant_(model[0].weight, 0.1)
    nn.init.constant_(model[2].weight, 0.1)
    assert found(model, X[:, :4]) == {}


def test_norm_gains_layer_scale_and_biases_are_silent():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.norm, self.fc, self.head = nn.LayerNorm((4, 8)), nn.Linear(8, 8), nn.Linear(32, 4)
            self.gamma, self.shift = nn.Parameter(torch.full((4, 8), 1e-4)), nn.Parameter(torch.zeros(1, 8))

        def forward(self, x):
            h = self.norm(x[:, None].expand(-1, 4, -1))
            return self.head((h + self.gamma * self.fc(h) + self.shift).flatten(1))

    assert found(Net()) == {}


def test_fixed_filters_are_silent():
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.Flatten(), nn.Linear(4 * 36, 4))
    nn.init.constant_(model[0].weight, 1 / 9)
    model[0].weight.requires_grad_(False)
    assert found(model, torch.randn(32, 1, 8, 8)) == {}


@pytest.mark.parametrize("model", [nn.Linear(8, 1), nn.Sequential(nn.Linear(1, 16), nn.Tanh(), nn.Linear(16, 1))])
def test_one_output_unit_and_fan_in_one_are_silent(model):
    weight = next(model.parameters())
    nn.init.constant_(weight, 0.5)
    assert found(model, X[:, : weight.shape[1]], lambda output: output.square().mean()) == {}


def test_zero_head():
    assert found(mlp(w4=0.0))[("4.weight",)] == ("info", found(mlp(w4=0.0))[("4.weight",)][1])
    assert zeros.HEAD in found(mlp(w4=0.0))[("4.weight",)][1]


class Branch(nn.Module):
    """A residual branch whose last layer is zero, twice."""

    def __init__(self):
        super().__init__()
        self.up, self.down, self.up2, self.down2 = (
            nn.Linear(8, 16),
            nn.Linear(16, 8),
            nn.Linear(8, 16),
            nn.Linear(16, 8),
        )
        self.head = nn.Linear(8, 4)
        for layer in (self.down, self.down2):
            nn.init.zeros_(layer.weight)
            nn.init.zeros_(layer.bias)

    def forward(self, x):
        h = x + self.down(F.relu(self.up(x)))
        return self.head(h + self.down2(F.relu(self.up2(h))))


def test_zero_residual_branches_are_one_note():
    assert list(found(Branch())) == [("down.weight", "down2.weight")]
    severity, message = found(Branch())[("down.weight", "down2.weight")]
    assert severity == "info"
    assert zeros.BRANCH in message


class Adapter(nn.Module):
    def __init__(self, *, both):
        super().__init__()
        self.base, self.a, self.b = nn.Linear(8, 4), nn.Linear(8, 2, bias=False), nn.Linear(2, 4, bias=False)
        self.base.requires_grad_(False)
        self.a, self.b = nn.Linear(8, 3, bias=False), nn.Linear(3, 4, bias=False)
        nn.init.zeros_(self.b.weight)
        if both:
            nn.init.zeros_(self.a.weight)

    def forward(self, x):
        return self.base(x) + self.b(self.a(x))


def test_one_zero_factor_of_an_adapter_is_a_note_and_two_are_an_error():
    assert {where: severity for where, (severity, _) in found(Adapter(both=False)).items()} == {("b.weight",): "info"}
    assert {where: severity for where, (severity, _) in found(Adapter(both=True)).items()} == {
        ("a.weight", "b.weight"): "error"
    }


class Deformable(nn.Module):
    """Zero attention logits, and a zero gate in front of the output."""

    def __init__(self):
        super().__init__()
        self.logits, self.value, self.gate, self.out = (nn.Linear(8, 8) for _ in range(4))
        for layer in (self.logits, self.gate):
            nn.init.zeros_(layer.weight)

    def forward(self, x):
        h = torch.softmax(self.logits(x), -1) * self.value(x)
        return self.out(h * torch.tanh(self.gate(x)))[:, :4]


def test_zero_logits_and_zero_gates_are_notes():
    said = found(Deformable())
    assert {severity for severity, _ in said.values()} == {"info"}
    assert zeros.LOGITS in said[("logits.weight",)][1]
    assert zeros.GATE in said[("gate.weight",)][1]


class Positions(nn.Module):
    def __init__(self, *, table, zero_tokens=False):
        super().__init__()
        self.token, self.head = nn.Embedding(9, 8), nn.Linear(8, 4)
        self.place = nn.Embedding(5, 8) if table == "lookup" else nn.Parameter(torch.zeros(1, 5, 8))
        if table == "lookup":
            nn.init.zeros_(self.place.weight)
        if zero_tokens:
            nn.init.zeros_(self.token.weight)

    def forward(self, ids):
        place = self.place(torch.arange(5)) if isinstance(self.place, nn.Embedding) else self.place
        return self.head((self.token(ids) + place).mean(1))


IDS = torch.randint(0, 9, (32, 5), generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("table", ["lookup", "added"])
def test_zero_positions_are_a_note(table):
    assert [severity for severity, _ in found(Positions(table=table), IDS).values()] == ["info"]


def test_an_all_equal_token_table_is_an_error():
    said = found(Positions(table="lookup", zero_tokens=True), IDS)
    assert any(severity == "error" and "token.weight" in where for where, (severity, _) in said.items())


def test_equal_gradients_of_a_constant_depthwise_kernel_are_no_symmetry():
    model = nn.Sequential(nn.Conv2d(8, 8, 3, groups=8), nn.ReLU(), nn.Flatten(), nn.Linear(8 * 36, 4))
    nn.init.constant_(model[0].weight, 1 / 9)
    assert [severity for severity, _ in found(model, torch.randn(32, 8, 8, 8)).values()] == ["info"]


def test_without_a_forward_it_only_notes():
    model = mlp(w0=0.1)
    model.lazy = nn.LazyLinear(3)
    assert severities("SZ206", model, X) == ["info"]


def test_a_zero_weight_that_one_of_two_calls_wakes_is_no_error():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.shared, self.head = nn.Linear(8, 8, bias=False), nn.Linear(8, 4)
            nn.init.zeros_(self.shared.weight)

        def forward(self, x):
            return self.head(F.relu(self.shared(x)) + torch.tanh(self.shared(x)))

    assert [severity for severity, _ in found(Twice()).values()] == ["info"]
