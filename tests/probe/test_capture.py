"""One pass, observed: the numbers of the Trace are those that hooks on the plain model read."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepzero.core.errors import LossError
from stepzero.core.trace import Trace
from stepzero.probe.capture import capture
from stepzero.probe.subject import subject_of
from tests.probe.models import CASES, mean_square
from tests.probe.observing import Net, names, of_model, one, seeded, traced


def by_hooks(model: nn.Module, batch: Tensor, loss: Any) -> dict[str, tuple[Tensor, Tensor]]:
    """Output and arriving gradient of every leaf module, in a plain pass without stepzero."""
    outputs: dict[str, Tensor] = {}
    handles = [
        module.register_forward_hook(lambda _m, _i, output, path=path: outputs.__setitem__(path, output))
        for path, module in model.named_modules()
        if not list(module.children())
    ]
    for output in (value := model(batch), *outputs.values()):
        output.retain_grad()
    loss(value).backward()
    for handle in handles:
        handle.remove()
    return {path: (output.detach(), output.grad) for path, output in outputs.items()}


def small_networks() -> dict[str, tuple[nn.Module, Tensor]]:
    torch.manual_seed(0)
    return {
        "mlp": (nn.Sequential(nn.Linear(5, 7), nn.Tanh(), nn.Linear(7, 6), nn.ReLU(), nn.Linear(6, 3)), seeded(12, 5)),
        "cnn": (
            nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.GELU(), nn.Flatten(), nn.Linear(16, 3)),
            seeded(6, 2, 4, 4),
        ),
        "sequence": (nn.Sequential(nn.Linear(4, 8), nn.SiLU(), nn.LayerNorm(8), nn.Linear(8, 2)), seeded(5, 3, 4)),
    }


@pytest.mark.parametrize("name", ["mlp", "cnn", "sequence"])
def test_statistics_are_those_that_hooks_read(name: str) -> None:
    model, batch = small_networks()[name]
    trace = traced(model, batch, mean_square)
    hooked = by_hooks(model, batch, mean_square)
    measured = {operation.module: operation for operation in of_model(trace) if operation.forward is not None}
    assert set(measured) >= {path for path in hooked if not isinstance(model[int(path)], nn.Flatten)}
    for path, operation in measured.items():
        output, gradient = (tensor.double() for tensor in hooked[path])
        forward, backward = operation.forward, operation.backward
        assert forward is not None
        assert backward is not None
        assert forward.rms == pytest.approx(float(output.square().mean().sqrt()), rel=1e-5)
        assert forward.mean == pytest.approx(float(output.mean()), abs=1e-6)
        assert backward.rms == pytest.approx(float(gradient.square().mean().sqrt()), rel=1e-5)
        units = output.movedim(operation.unit_axis, -1).flatten(0, -2)
        assert list(forward.unit_mean) == pytest.approx(units.mean(0).tolist(), abs=1e-6)
        assert bool(backward.units) == (operation.kind == "weighted")
        if not backward.units:
            continue
        arriving = gradient.movedim(operation.unit_axis, -1).flatten(0, -2)
        assert list(backward.unit_square) == pytest.approx(arriving.square().mean(0).tolist(), rel=1e-4)


@pytest.mark.parametrize("name", ["mlp", "cnn", "sequence"])
def test_gradients_are_those_of_a_plain_backward(name: str) -> None:
    model, batch = small_networks()[name]
    trace = traced(model, batch, mean_square)
    value = mean_square(model(batch))
    value.backward()
    assert trace.loss.value == pytest.approx(value.item(), rel=1e-6)
    for path, parameter in model.named_parameters():
        fact = trace.parameter(path).gradient
        assert fact is not None
        rows = parameter.grad.double().flatten(1).norm(dim=1) if parameter.dim() > 1 else parameter.grad.abs()
        assert list(fact.row_norm) == pytest.approx(rows.tolist(), rel=1e-4, abs=1e-9)
        assert fact.norm == pytest.approx(float(parameter.grad.norm()), rel=1e-4, abs=1e-9)


def test_saturation_is_the_share_of_flat_positions() -> None:
    layer = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        layer.weight.copy_(torch.tensor([[1.0], [10.0]]))
    batch = torch.linspace(-3, 3, 13)[:, None]
    signal = one(traced(nn.Sequential(layer, nn.Tanh()), batch), "tanh").forward
    assert signal is not None
    # tanh' < 0.1 beyond atanh(sqrt(0.9)) = 1.818: 1, 2 and 3 and their halves
    expected = [float((z.abs() > math.atanh(math.sqrt(0.9))).double().mean()) for z in (batch, 10 * batch)]
    assert list(signal.flat_share) == pytest.approx(expected)
    assert signal.off_share[0] == 0.0


def test_a_dead_unit_is_off_everywhere() -> None:
    layer = nn.Linear(3, 4)
    with torch.no_grad():
        layer.bias[2] = -100.0
        layer.bias[1] = 100.0
    for activation in (nn.ReLU(), nn.ReLU6(), nn.ReLU(inplace=True)):
        signal = next(
            operation.forward for operation in of_model(traced(nn.Sequential(layer, activation), seeded(14, 3)))
            if operation.kind == "activation"
        )  # fmt: skip
        assert signal is not None
        assert signal.off_share[2] == 1.0
        assert signal.off_share[1] == (1.0 if isinstance(activation, nn.ReLU6) else 0.0)
        assert 0.0 < signal.off_share[0] < 1.0


@pytest.mark.parametrize("name", CASES)
def test_the_trace_of_every_case_goes_through_json(name: str) -> None:
    trace = traced(*CASES[name]())
    text = trace.to_json()
    restored = Trace.from_json(text)
    assert restored.to_json() == text
    assert restored.loss == trace.loss
    for one_way, back in zip(trace.operations, restored.operations, strict=True):
        assert (back.uses, back.inputs, back.forward) == (one_way.uses, one_way.inputs, one_way.forward)
        assert back.attributes == one_way.attributes


@pytest.mark.parametrize("name", ["mlp", "recurrent", "transformer_encoder", "mixture_of_experts", "checkpointed"])
def test_two_captures_of_one_model_are_one_trace(name: str) -> None:
    model, batch, loss = CASES[name]()
    torch.manual_seed(1)
    first = traced(model, batch, loss)
    torch.manual_seed(2)  # the state of the user's generator must not matter
    assert traced(model, batch, loss).to_json() == first.to_json()


def test_the_seed_moves_what_is_drawn() -> None:
    model, batch, _ = CASES["mlp"]()
    traces = [capture(subject_of(model, batch, seed=seed)) for seed in (0, 0, 1)]
    assert traces[0] == traces[1]
    assert traces[0].loss.value != traces[2].loss.value
    assert traces[2].seed == 1


def test_dropout_and_eval_mode_are_said() -> None:
    model, batch, loss = CASES["mlp"]()
    trace = traced(model, batch, loss)
    assert "dropout off" in trace.conditions
    assert names(trace) == ["linear", "tanh", "dropout", "linear"]
    assert any("eval mode" in said for said in traced(model.eval(), batch, loss).conditions)
    assert traced(nn.Linear(8, 2), batch).conditions == ()


def test_dropout_is_off_however_it_is_called() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = F.dropout(self.layer(x), 0.9)
        h = F.dropout(h, 0.9, True)
        h = torch.dropout(h, 0.9, True)
        if h.dim() == 3:
            h = F.scaled_dot_product_attention(h, h, h, dropout_p=0.9)
            h = F.scaled_dot_product_attention(h, h, h, None, 0.9)
        return h

    model = Net(forward, layer=nn.Linear(4, 4))
    trace = traced(model, seeded(6, 4), mean_square)
    assert trace.loss.value == pytest.approx(mean_square(model.layer(seeded(6, 4))).item())
    h = model.layer(seeded(2, 6, 4))
    for _ in range(2):
        h = F.scaled_dot_product_attention(h, h, h)
    assert traced(model, seeded(2, 6, 4), mean_square).loss.value == pytest.approx(mean_square(h).item())


def test_frozen_models_have_a_forward_only() -> None:
    trace = traced(nn.Linear(4, 4).requires_grad_(False), seeded(3, 4), mean_square)
    assert (trace.has_forward, trace.has_backward) == (True, False)
    assert any("frozen" in said for said in trace.conditions)
    assert one(trace, "linear").backward is None
    assert trace.parameter("weight").gradient is None


def test_a_parameter_off_the_path_has_no_gradient_and_one_on_it_a_zero_one() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        self.unused(x)
        return self.zero(self.used(x)) * 0.0

    trace = traced(
        Net(forward, **{name: nn.Linear(4, 4) for name in ("used", "unused", "zero", "absent")}), seeded(3, 4)
    )
    said = {name: trace.parameter(f"{name}.weight") for name in ("used", "unused", "absent")}
    assert said["used"].gradient is not None
    assert said["used"].gradient.zero_rows == 4
    assert (said["unused"].gradient, said["unused"].is_used) == (None, True)
    assert (said["absent"].gradient, said["absent"].is_used) == (None, False)


def test_a_model_that_cannot_run_is_described_and_not_run() -> None:
    trace = traced(nn.Sequential(nn.Linear(4, 4), nn.Linear(4, 2, device="meta")), seeded(3, 4))
    assert not trace.has_forward
    assert trace.conditions == ("forward not run: 1.weight (meta), 1.bias (meta) hold no memory",)
    assert [fact.state for fact in trace.parameters] == ["ready", "ready", "meta", "meta"]
    assert trace.operations == ()


class Failing(nn.Module):
    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def forward(self, x: Tensor) -> Tensor:
        raise self.error


def test_the_exception_of_a_layer_comes_back_with_the_layer() -> None:
    error = KeyError("my own")
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), Failing(error)))
    with pytest.raises(KeyError) as caught:
        traced(model, seeded(3, 4))
    assert caught.value is error
    (note,) = error.__notes__
    assert "'1.1'" in note
    assert "relu" in note
    assert note.startswith("stepzero: ")
    assert "\n" not in note


def test_exceptions_of_the_loss_and_of_the_backward_say_so() -> None:
    class Bad(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:
            raise ArithmeticError("backward")

    def bad_loss(output: Tensor) -> Tensor:
        raise ZeroDivisionError("loss")

    with pytest.raises(ZeroDivisionError) as in_loss:
        traced(nn.Linear(4, 4), seeded(3, 4), bad_loss)
    with pytest.raises(ArithmeticError) as in_backward:
        traced(nn.Linear(4, 4), seeded(3, 4), lambda output: Bad.apply(output).sum())
    assert "in the loss" in in_loss.value.__notes__[0]
    assert "in the backward" in in_backward.value.__notes__[0]


def test_errors_of_stepzero_carry_no_note() -> None:
    with pytest.raises(LossError) as caught:
        traced(nn.Linear(4, 4), seeded(3, 4), lambda output: output)
    assert not hasattr(caught.value, "__notes__")
