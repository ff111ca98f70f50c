import pytest
import torch
from torch import nn

import stepzero
from tests.probe.observing import Net, seeded
from tests.probe.planting import square, stack
from tests.probe.sleeping import TOKENS, Attends, zeroed
from tests.rules.ask import ask, reasons

X = seeded(64, 6)


def found(model, batch=X, loss=square):
    return [(finding.severity, finding.where) for finding in ask("SZ507", model, batch, loss)]


def dead():
    model = stack(6, 8, 8, 3, phi=nn.ReLU)
    nn.init.constant_(model[2].bias, -50.0)
    return model


def clipped():
    model = nn.Sequential(*stack(6, 8, 3), nn.ReLU())
    nn.init.constant_(model[2].bias, -50.0)
    return model


@pytest.mark.parametrize(
    ("model", "place"),
    [
        (dead(), "2.bias"),
        (clipped(), "2.bias"),
        (zeroed(stack(6, 8, 8, 3, phi=nn.ReLU), "2.weight", "2.bias"), "2.weight"),
        (zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight"), "2.weight"),
    ],
    ids=["dead layer", "clipped output", "zero layer in front of a kink", "two zero factors"],
)
def test_a_constant_that_stays_one(model, place):
    ((severity, where),) = found(model)
    assert severity == "error"
    assert place in where
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(20):
        optimizer.zero_grad()
        square(model(X)).backward()
        optimizer.step()
    assert float(model(X).detach().std(0).max()) == 0.0


def test_a_signal_that_faded_below_rounding_is_a_warning():
    model = stack(6, 8, 8, 3)
    for layer in model[::2]:
        nn.init.normal_(layer.weight, std=1e-4, generator=torch.Generator().manual_seed(0))
        nn.init.ones_(layer.bias)
    ((severity, where),) = found(model)
    assert (severity, where[0]) == ("warning", "2.weight")


def test_what_cut_it_off_is_the_root():
    report = stepzero.check(dead(), X, square)
    (finding,) = (each for each in report.findings if each.code == "SZ507")
    assert finding.root is not None
    assert finding.root.startswith(("SZ305", "SZ602"))


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        zeroed(stack(6, 8, 8, 3), "4.weight"),
        zeroed(stack(6, 8, 8, 3), "4.weight", "4.bias"),
        zeroed(stack(6, 8, 8, 3), "2.weight"),
    ],
    ids=["zero head", "zero output", "zero layer that wakes"],
)
def test_a_zero_that_wakes_is_a_note(model):
    assert [severity for severity, _ in found(model)] == ["info"]


def test_a_zero_head_is_a_note_though_something_below_it_is_stuck():
    model = zeroed(stack(6, 8, 8, 3), "4.weight")
    model[0].weight.data[0] = model[0].bias.data[0] = 0.0
    assert [severity for severity, _ in found(model)] == ["info"]


def test_an_output_that_no_parameter_can_change_is_told_elsewhere():
    assert found(nn.Sequential(*stack(6, 8, 1), nn.Softmax(-1))) == []


def test_a_zero_output_beside_the_input_is_silent():
    model = Net(lambda self, x: x + self.body(x), body=zeroed(stack(6, 8, 6), "2.weight", "2.bias"))
    assert found(model) == []


@pytest.mark.parametrize("batch", [X[:1], X[:1].repeat(16, 1)], ids=["one sample", "equal samples"])
def test_samples_that_cannot_differ_are_not_judged(batch):
    assert found(dead(), batch) == []
    (reason,) = (why for why in reasons("SZ507", dead(), batch))
    assert "one sample" in reason


@pytest.mark.parametrize("make", [lambda: stack(6, 8, 8, 3), lambda: stack(6, 64, 64, 64, 3, phi=nn.ReLU)])
def test_sound_networks_are_silent(make):
    assert found(make()) == []
    assert found(make().bfloat16(), X.bfloat16()) == []


def test_sound_attention_is_silent():
    assert found(Attends(), TOKENS) == []
