import pytest
import torch
from torch import nn

from tests.probe.observing import Net
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import zeroed
from tests.rules.ask import ask


def found(model, batch=X, loss=square):
    return [finding.severity for finding in ask("SZ506", model, batch, loss)]


@pytest.mark.parametrize(
    "model",
    [
        nn.Sequential(*stack(6, 8, 1), nn.Softmax(-1)),
        nn.Sequential(*stack(6, 8, 1), nn.LogSoftmax(-1)),
        nn.Sequential(*stack(6, 8, 3), nn.GroupNorm(3, 3, affine=False)),
        Net(lambda self, x: (h := self.net(x).exp()) / h.sum(-1, keepdim=True), net=stack(6, 8, 1)),
        Net(lambda self, x: self.net(x) * 0.0, net=stack(6, 8, 3)),
    ],
    ids=["softmax", "log softmax", "a norm over one element", "a weight over its sum", "times zero"],
)
def test_an_output_that_no_parameter_can_change(model):
    (finding,) = ask("SZ506", model, X, square)
    assert (finding.severity, finding.cause) == ("error", "constant-by-construction")
    names = [name for name, _ in model.named_parameters()]
    assert set(finding.where) == set(names)
    output = model(X)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_()
    torch.testing.assert_close(model(X), output)


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "model",
    [
        zeroed(stack(6, 8, 8, 3), "4.weight", "4.bias"),
        zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight", "4.bias"),
        zeroed(stack(6, 8, 8, 3, phi=nn.ReLU), "2.weight", "2.bias"),
        nn.Sequential(*stack(6, 8, 1), nn.Sigmoid()),
        nn.Sequential(*stack(6, 8, 2), nn.Softmax(-1)),
        nn.Sequential(*stack(6, 8, 8), nn.LayerNorm(8)),
    ],
)
def test_a_redraw_that_changes_the_output_is_silent(model):
    assert found(model) == []


def test_an_output_clipped_on_this_batch_is_told_elsewhere():
    model = nn.Sequential(*stack(6, 8, 3), nn.ReLU())
    model[2].bias.data.fill_(-50.0)
    assert found(model) == []


def test_a_loss_that_is_blind_to_a_sound_output_is_no_fault_of_the_network():
    model = nn.Sequential(*stack(6, 8, 8), nn.LayerNorm(8))
    assert found(model, loss=lambda output: output.sum()) == []
