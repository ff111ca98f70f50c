import pytest
import torch
from torch import nn

import stepzero
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import TOKENS, Attends, Gated, Low, Rezero, zeroed
from tests.rules.ask import ask, reasons, severities


def found(model, batch=X):
    return [set(finding.where) for finding in ask("SZ701", model, batch, square)]


def low(*zeros):
    return nn.Sequential(zeroed(Low(), *zeros), nn.Tanh(), nn.Linear(8, 3))


@pytest.mark.parametrize(
    ("model", "batch", "factors"),
    [
        (low("A", "B"), X, {"0.A", "0.B"}),
        (zeroed(Gated(), "gate.weight", "up.weight"), X, {"gate.weight", "up.weight"}),
        (zeroed(Gated(), "up.weight", "down.weight"), X, {"up.weight", "down.weight"}),
        (zeroed(Attends(), "q.weight", "k.weight"), TOKENS, {"q.weight", "k.weight"}),
        (zeroed(Attends(), "v.weight", "o.weight"), TOKENS, {"v.weight", "o.weight"}),
        (zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight"), X, {"2.weight", "4.weight"}),
        (zeroed(Rezero(1), "blocks.0.2.weight", "blocks.0.2.bias"), X, {"alpha.0", "blocks.0.2.weight"}),
    ],
)
def test_every_instance_of_the_catalogue(model, batch, factors):
    (finding,) = ask("SZ701", model, batch, square)
    assert (finding.severity, set(finding.where), finding.value, finding.limit) == ("error", factors, 2.0, 1.0)
    assert finding.cause == "zero-factor-pair"
    assert finding.fix.parameter in factors


def test_drawing_the_one_factor_that_the_fix_names_is_enough():
    model = zeroed(Attends(), "q.weight", "k.weight")
    (finding,) = ask("SZ701", model, TOKENS, square)
    nn.init.xavier_normal_(model.get_parameter(finding.fix.parameter))
    assert found(model, TOKENS) == []
    report = stepzero.check(model, TOKENS, square, select=["SZ4", "SZ7"])
    assert report.errors == ()


def test_one_slot_of_several():
    def forward(self, x):
        return self.base(x) + torch.einsum("sor,sri,bi->bo", self.B, self.A, x)

    model = Net(forward, base=nn.Linear(6, 8).requires_grad_(False), A=seeded(3, 2, 6), B=torch.zeros(3, 8, 2))
    assert found(model) == []
    model.A.data[1] = 0
    assert found(model) == [{"A", "B"}]


def test_products_of_one_role_are_one_finding():
    model = nn.Sequential(zeroed(Low(), "A", "B"), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), zeroed(Low(), "A", "B"))
    assert found(model) == [{"0.A", "0.B", "4.A", "4.B"}]


def test_a_convolution_pair():
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3, padding=1), nn.Tanh(), nn.Conv2d(4, 4, 3, padding=1, bias=False), nn.Conv2d(4, 2, 1)
    )
    assert found(zeroed(model, "2.weight", "3.weight"), seeded(2, 3, 5, 5)) == [{"2.weight", "3.weight"}]


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("model", "batch"),
    [
        (low("A"), X),
        (low("B"), X),
        (zeroed(Gated(), "gate.weight"), X),
        (zeroed(Gated(), "down.weight"), X),
        (zeroed(Attends(), "q.weight"), TOKENS),
        (zeroed(Attends(), "o.weight"), TOKENS),
        (Rezero(3), X),
        (zeroed(stack(6, 8, 8, 3), "4.weight"), X),
    ],
)
def test_exactly_one_zero_factor_is_told_elsewhere(model, batch):
    assert found(model, batch) == []


def test_a_zero_layer_with_a_skip_around_it_before_the_next_is_silent():
    def forward(self, x):
        h = self.enter(x)
        h = h + self.one(torch.tanh(h))
        return self.head(h + self.two(torch.tanh(h)))

    parts = {"enter": nn.Linear(6, 8), "one": nn.Linear(8, 8), "two": nn.Linear(8, 8), "head": nn.Linear(8, 3)}
    assert found(zeroed(Net(forward, **parts), "one.weight", "one.bias", "two.weight", "two.bias")) == []


def test_the_softmax_of_zero_logits_is_not_zero():
    assert found(zeroed(Attends(), "q.weight", "o.weight"), TOKENS) == []


def test_a_sigmoid_gate_of_zero_is_a_half():
    assert found(zeroed(Gated(torch.sigmoid), "gate.weight", "up.weight")) == []


def test_zero_biases_are_no_factors():
    model = stack(6, 8, 8, 3)
    for layer in model[::2]:
        nn.init.zeros_(layer.bias)
    assert found(zeroed(model, "4.weight")) == []


def test_a_kink_at_zero_is_told_elsewhere():
    assert found(zeroed(stack(6, 8, 8, 3, phi=nn.ReLU), "2.weight", "2.bias")) == []


def test_a_frozen_zero_adapter_is_silent():
    model = low("A", "B")
    model[0].requires_grad_(False)
    assert found(model) == []


def test_a_model_that_cannot_be_probed_is_not_judged():
    model = low("A", "B")
    model.running = (each for each in "ab")
    assert severities("SZ701", model, X, square) == []
    (reason,) = reasons("SZ701", model, X)
    assert "cannot be copied" in reason


@pytest.mark.parametrize("zero", [24, 36])
def test_zero_query_and_key_rows_of_a_packed_projection(zero):
    inner = nn.MultiheadAttention(12, 4, batch_first=True)
    with torch.no_grad():
        inner.in_proj_weight[:zero] = 0
    model = Net(lambda self, x: self.inner(x, x, x, need_weights=False)[0], inner=inner)
    batch = seeded(3, 5, 12)
    (finding,) = ask("SZ701", model, batch, square)
    assert finding.where == ("inner.in_proj_weight",)
    assert "rows 0 to 11 and rows 12 to 23 of inner.in_proj_weight are zero factors of one product" in finding.message
    assert severities("SZ402", model, batch, square) == []
