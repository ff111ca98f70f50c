"""How operations use parameters: fans of captured traces against ones in the weights of the live module."""

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepzero.core.trace import ParameterUse
from tests.probe.models import CASES
from tests.probe.observing import Net, of_model, one, seeded, seen, traced, use_of


def by_ones(model: nn.Module, *shape: int, margin: int = 0, period: int = 1) -> tuple[float, float]:
    """(n, m): with ones in weights and input the output is n and the gradient of its sum m, away from the borders."""
    model = model.double()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(0.0 if "bias" in name else 1.0)
    x = torch.ones(shape, dtype=torch.float64, requires_grad=True)
    output = model(x)
    (gradient,) = torch.autograd.grad(output.sum(), x)
    return inner_mean(output.detach(), margin, period), inner_mean(gradient, margin, period)


def inner_mean(tensor: Tensor, margin: int, period: int) -> float:
    for axis in range(2, tensor.dim() if margin else 0):
        length = (tensor.shape[axis] - 2 * margin) // period * period
        tensor = tensor.narrow(axis, margin, length)
    return tensor.mean().item()


def net(function: Any, *shape: int) -> Net:
    return Net(function, weight=seeded(*shape))


LAYERS = {
    "linear": (nn.Linear(7, 5), (3, 7), {}),
    "linear on sequences": (nn.Linear(7, 5), (3, 4, 7), {}),
    "conv1d": (nn.Conv1d(4, 6, 3), (2, 4, 20), {"margin": 4}),
    "conv2d": (nn.Conv2d(4, 6, 3, padding=1), (2, 4, 20, 20), {"margin": 4}),
    "conv3d": (nn.Conv3d(2, 3, (2, 3, 1)), (1, 2, 12, 12, 12), {"margin": 4}),
    "strided": (nn.Conv2d(4, 6, 3, stride=2), (2, 4, 21, 21), {"margin": 4, "period": 2}),
    "grouped": (nn.Conv2d(8, 12, 3, groups=4), (2, 8, 20, 20), {"margin": 4}),
    "depthwise": (nn.Conv2d(8, 8, 3, groups=8), (2, 8, 20, 20), {"margin": 4}),
    "depthwise with a multiplier": (nn.Conv2d(4, 12, 5, groups=4), (2, 4, 24, 24), {"margin": 6}),
    "dilated": (nn.Conv2d(4, 6, 3, dilation=3), (2, 4, 24, 24), {"margin": 7}),
    "patches": (nn.Conv2d(3, 8, 4, stride=4), (2, 3, 24, 24), {}),
    "transposed": (nn.ConvTranspose2d(4, 6, 4, stride=2), (2, 4, 20, 20), {"margin": 4, "period": 2}),
    "transposed, grouped": (nn.ConvTranspose1d(8, 4, 4, stride=2, groups=4), (2, 8, 30), {"margin": 4, "period": 2}),
    "transposed, uneven phases": (nn.ConvTranspose1d(2, 3, 3, stride=2), (2, 2, 30), {"margin": 4, "period": 2}),
    "matrix by hand": (net(lambda self, x: x @ self.weight, 7, 5), (3, 7), {}),
    "transposed by hand": (net(lambda self, x: x @ self.weight.t(), 5, 7), (3, 7), {}),
    "on the left": (net(lambda self, x: self.weight @ x, 5, 7), (7, 3), {}),
    "vector": (net(lambda self, x: x @ self.weight, 7), (3, 7), {}),
    "conv1d of transformers": (net(lambda self, x: torch.addmm(x.new_zeros(5), x, self.weight), 7, 5), (3, 7), {}),
    "experts": (net(lambda self, x: torch.bmm(x, self.weight), 3, 7, 5), (3, 4, 7), {}),
    "experts, out first": (net(lambda self, x: x @ self.weight.mT, 3, 5, 7), (3, 4, 7), {}),
    "heads": (net(lambda self, x: torch.einsum("btd,hdk->bhtk", x, self.weight), 2, 7, 3), (3, 4, 7), {}),
    "heads back": (net(lambda self, x: torch.einsum("bhtk,hkd->btd", x, self.weight), 2, 3, 7), (3, 2, 4, 3), {}),
    "sublists": (net(lambda self, x: torch.einsum(x, [0, 1], self.weight, [2, 1], [0, 2]), 5, 7), (3, 7), {}),
    "tensordot": (net(lambda self, x: torch.tensordot(x, self.weight, dims=1), 7, 5), (3, 7), {}),
    "tensordot over two axes": (
        net(lambda self, x: torch.tensordot(x, self.weight, dims=([1, 2], [2, 1])), 5, 7, 4), (3, 4, 7), {},
    ),
    "inner": (net(lambda self, x: torch.inner(x, self.weight), 5, 7), (3, 7), {}),
    "short stride": (net(lambda self, x: F.conv2d(x, self.weight, stride=(2,)), 6, 4, 3, 3), (2, 4, 21, 21),
                     {"margin": 4, "period": 2}),
    "bilinear": (Net(lambda self, x: self.layer(x, torch.ones_like(x[:, :6])), layer=nn.Bilinear(7, 6, 5)), (3, 7), {}),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_fans_of_a_captured_trace_are_those_of_the_oracle(name: str) -> None:
    model, shape, interior = LAYERS[name]
    model = model.float()
    trace = traced(model, seeded(*shape))
    (operation,) = trace.weighted()
    (use,) = [use for use in operation.uses if use.slot == "weight"]
    assert (use.fan_in, use.fan_out) == pytest.approx(by_ones(model, *shape, **interior), rel=1e-9)


@pytest.mark.parametrize(
    ("name", "axes"),
    [
        ("linear", ("out", "in")),
        ("grouped", ("out", "in", "in", "in")),
        ("transposed", ("in", "out", "in", "in")),
        ("matrix by hand", ("in", "out")),
        ("transposed by hand", ("in", "out")),
        ("on the left", ("out", "in")),
        ("experts", ("group", "in", "out")),
        ("heads", ("out", "in", "out")),
        ("tensordot over two axes", ("out", "in", "in")),
        ("inner", ("out", "in")),
        ("bilinear", ("out", "in", "in")),
    ],
)
def test_roles_of_axes(name: str, axes: tuple[str, ...]) -> None:
    model, shape, _ = LAYERS[name]
    (operation,) = traced(model.float(), seeded(*shape)).weighted()
    assert operation.uses[0].axes == axes
    assert math.prod(operation.uses[0].shape) == sum(p.numel() for n, p in model.named_parameters() if "bias" not in n)


def uses(trace: Any) -> dict[str, ParameterUse]:
    return {use.parameter: use for operation in trace.weighted() for use in operation.uses}


GATES = {"lstm": (nn.LSTM, 4), "gru": (nn.GRU, 3), "rnn": (nn.RNN, 1)}


@pytest.mark.parametrize("name", GATES)
@pytest.mark.parametrize("bidirectional", [False, True])
def test_recurrent_layers_are_packed_gates(name: str, bidirectional: bool) -> None:
    kind, gates = GATES[name]
    layer = kind(5, 6, num_layers=2, bidirectional=bidirectional)
    found = uses(traced(Net(lambda self, x: self.layer(x)[0], layer=layer), seeded(4, 3, 5)))
    assert {path.removeprefix("layer.") for path in found} == {path for path, _ in layer.named_parameters()}
    for path, parameter in layer.named_parameters():
        use = found[f"layer.{path}"]
        assert use.blocks == gates
        if parameter.dim() == 2:
            assert use.slot == ("recurrent" if "_hh" in path else "weight")
            assert (use.fan_in, use.fan_out) == (parameter.shape[1], 6.0)
        else:
            assert (use.slot, use.fan_in) == ("bias", None)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
def test_the_projection_of_an_lstm_is_no_gate() -> None:
    found = uses(traced(Net(lambda self, x: self.layer(x)[0], layer=nn.LSTM(5, 6, proj_size=2)), seeded(4, 3, 5)))
    projection, recurrent = found["layer.weight_hr_l0"], found["layer.weight_hh_l0"]
    assert (projection.shape, projection.blocks, projection.fan_in, projection.fan_out) == ((2, 6), 1, 6.0, 2.0)
    assert (recurrent.shape, recurrent.blocks, recurrent.fan_in, recurrent.fan_out) == ((24, 2), 4, 2.0, 6.0)


@pytest.mark.parametrize(("kind", "gates"), [(nn.LSTMCell, 4), (nn.GRUCell, 3), (nn.RNNCell, 1)])
def test_cells(kind: Any, gates: int) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        state = self.cell(x)
        return state[0] if isinstance(state, tuple) else state

    found = uses(traced(Net(forward, cell=kind(5, 6)), seeded(3, 5)))
    for path, slot, fan in (("cell.weight_ih", "weight", 5.0), ("cell.weight_hh", "recurrent", 6.0)):
        assert (found[path].slot, found[path].blocks, found[path].fan_in, found[path].fan_out) == (
            slot,
            gates,
            fan,
            6.0,
        )


def test_a_cell_called_with_matrices_of_any_name() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return torch.gru_cell(x, torch.zeros(3, 6), self.first, self.second)

    found = uses(traced(Net(forward, first=seeded(18, 5), second=seeded(18, 6)), seeded(3, 5)))
    assert [(use.slot, use.fan_in) for use in found.values()] == [("weight", 5.0), ("recurrent", 6.0)]


def test_packed_attention() -> None:
    model = Net(lambda self, x: self.attention(x, x, x)[0], attention=nn.MultiheadAttention(8, 2))
    found = uses(traced(model, seeded(5, 3, 8)))
    packed, out = found["attention.in_proj_weight"], found["attention.out_proj.weight"]
    assert (packed.shape, packed.fan_in, packed.fan_out) == ((24, 8), 8.0, 24.0)  # one input reaches q, k and v
    assert (out.shape, out.fan_in, out.fan_out) == ((8, 8), 8.0, 8.0)
    assert found["attention.in_proj_bias"].slot == found["attention.out_proj.bias"].slot == "bias"


def test_packed_attention_on_another_sequence_says_which_part_meets_which() -> None:
    model = Net(lambda self, q, k: self.attention(q, k, k)[0], attention=nn.MultiheadAttention(8, 2))
    trace = traced(model, (seeded(5, 3, 8), seeded(6, 3, 8, seed=1)))
    packed = [use for operation in trace.weighted() for use in operation.uses if "in_proj_weight" in use.parameter]
    assert [(use.shape, use.part, use.parameter_axes) for use in packed] == [
        ((8, 8), (0, 0, 8), (0, 1)),
        ((16, 8), (0, 8, 16), (0, 1)),
    ]


def test_attention_with_other_widths_of_keys_and_values() -> None:
    model = Net(lambda self, q, k, v: self.attention(q, k, v)[0], attention=nn.MultiheadAttention(8, 2, kdim=6, vdim=4))
    found = uses(traced(model, (seeded(5, 3, 8), seeded(7, 3, 6), seeded(7, 3, 4))))
    weights = {path.removeprefix("attention."): use for path, use in found.items() if use.slot == "weight"}
    fans = {path[0]: (use.fan_in, use.fan_out) for path, use in weights.items()}
    assert fans == {"q": (8.0, 8.0), "k": (6.0, 8.0), "v": (4.0, 8.0), "o": (8.0, 8.0)}


@pytest.mark.parametrize(
    ("bag", "batch", "fan"),
    [
        (lambda self, x: self.bag(x), (5, 4), 4.0),
        (lambda self, x: self.bag(x, torch.tensor([0, 2, 5])), (12,), 4.0),
        (lambda self, x: F.embedding_bag(x, self.bag.weight), (5, 4), 0.25),
        (lambda self, x: F.embedding_bag(x, self.bag.weight, mode="max"), (5, 4), None),
    ],
)
def test_bags_add_as_many_rows_as_they_hold(bag: Any, batch: tuple[int, ...], fan: float | None) -> None:
    ids = torch.randint(0, 20, batch, generator=torch.Generator().manual_seed(0))
    (use,) = uses(traced(Net(bag, bag=nn.EmbeddingBag(20, 3, mode="sum")), ids)).values()
    assert (use.slot, use.axes, use.fan_in) == ("table", ("row", "out"), fan)


def test_a_tied_weight_is_a_table_and_a_head_under_one_name() -> None:
    model, batch, loss = CASES["tied_embedding"]()
    trace = traced(model, batch, loss)
    roles = [(use.parameter, use.slot, use.fan_in) for operation in trace.weighted() for use in operation.uses]
    assert ("embed.weight", "table", 1.0) in roles
    assert ("embed.weight", "weight", 8.0) in roles
    assert trace.parameter("embed.weight").aliases == ("head.weight",)


@pytest.mark.parametrize(
    ("layer", "slots"),
    [
        (nn.LayerNorm(6), {"weight": "gain", "bias": "shift"}),
        (nn.RMSNorm(6), {"weight": "gain"}),
        (nn.BatchNorm1d(6), {"weight": "gain", "bias": "shift"}),
        (nn.GroupNorm(2, 6), {"weight": "gain", "bias": "shift"}),
        (nn.PReLU(6), {"weight": "operand"}),
    ],
)
def test_gains_and_shifts(layer: nn.Module, slots: dict[str, str]) -> None:
    trace = traced(Net(lambda self, x: self.layer(x), layer=layer), seeded(4, 6))
    assert {name: use_of(trace, f"layer.{name}").slot for name in slots} == slots


@pytest.mark.parametrize(
    ("function", "parameter", "slot"),
    [
        (lambda x, w: x + w, seeded(6), "bias"),
        (lambda x, w: w + x, seeded(1, 1, 6), "bias"),
        (lambda x, w: x - w, seeded(6), "bias"),
        (lambda x, w: x + w, seeded(5, 6), "table"),  # positions
        (lambda x, w: x * w, seeded(6), "gain"),
        (lambda x, w: x / w, seeded(6), "gain"),
        (lambda x, w: torch.where(x > 0, x, w), seeded(6), "operand"),
    ],
)
def test_arithmetic(function: Any, parameter: Tensor, slot: str) -> None:
    trace = seen(lambda self, x: function(x, self.w), seeded(4, 5, 6), w=parameter)
    assert use_of(trace, "w").slot == slot
    assert not any(operation.kind == "weighted" for operation in of_model(trace))


def test_a_product_of_two_signals_has_no_weight() -> None:
    trace = seen(lambda self, x: x @ x.mT, seeded(4, 5, 6))
    assert one(trace, "matmul").kind == "product"
    assert list(trace.weighted()) == []
