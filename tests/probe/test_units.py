"""The unit axis of a result: told by numbering the units and looking where the numbers went."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepzero.probe.units import of_input, of_result
from stepzero.probe.vocabulary import spec_of
from tests.probe.observing import Listening, Net, named, of_model, one, seeded, seen, traced


@pytest.mark.parametrize(
    ("shape", "axis"),
    [((), None), ((7,), 0), ((8, 3), 1), ((8, 5, 3), 2), ((8, 3, 32, 32), 1), ((2, 3, 4, 32, 32), 1)],
)
def test_of_a_batch(shape: tuple[int, ...], axis: int | None) -> None:
    assert of_input(shape) == axis


OPERATIONS = {
    "relu": F.relu,
    "dropout": lambda x: F.dropout(x, 0.5, training=False),
    "transpose": lambda x: x.transpose(-1, -2),
    "transpose of the batch": lambda x: x.transpose(0, 1),
    "transpose by name": lambda x: x.transpose(dim0=-1, dim1=-2),
    "mT": lambda x: x.mT,
    "permute": lambda x: x.permute(*range(x.dim())[::-1]),
    "permute by name": lambda x: torch.permute(x, dims=tuple(range(x.dim()))[::-1]),
    "movedim": lambda x: x.movedim(1, -1),
    "moveaxis": lambda x: torch.moveaxis(x, -1, 0),
    "unsqueeze": lambda x: x.unsqueeze(1),
    "index": lambda x: x[0],
    "class token": lambda x: x[:, 0] if x.dim() < 4 else x[:1],
    "slice": lambda x: x[:2],
    "narrow": lambda x: x.narrow(1, 0, 2),
    "chunk": lambda x: x.chunk(2, 1)[0],
    "unbind": lambda x: x.unbind(0)[0],
    "flatten places": lambda x: x.flatten(2),
    "expand": lambda x: x.unsqueeze(0).expand(3, *x.shape),
    "contiguous copy": lambda x: x.mT.contiguous().mT,
    "mean of the batch": lambda x: x.mean(0),
    "mean of the batch by name": lambda x: x.mean(dim=0),
    "mean by a tuple": lambda x: torch.mean(x, dim=(0,)),
    "mean that keeps": lambda x: x.mean(0, keepdim=True),
    "stack": lambda x: torch.stack([x, x]),
    "stack at an axis": lambda x: torch.stack([x, x], dim=1),
    "cat": lambda x: torch.cat([x, x], 0),
}
SHAPES = [
    ((4, 6, 3, 5), 1),
    ((6, 6, 6, 6), 1),
    ((4, 3, 6), 2),
    ((6, 6, 6), 2),
    ((4, 6, 2), 1),
    ((4, 6), 1),
    ((6, 6), 1),
]


def number_of_units(shape: tuple[int, ...], axis: int) -> Tensor:
    after = (1,) * (len(shape) - axis - 1)
    return torch.arange(1.0, shape[axis] + 1).view(shape[axis], *after).expand(shape).contiguous()


PAIRS = [(name, *pair) for name in OPERATIONS for pair in SHAPES if name != "flatten places" or len(pair[0]) > 2]


def followed(operation: Any, shape: tuple[int, ...], axis: int) -> tuple[Tensor, int | None]:
    """What the operation returns, and the unit axis said of it, given that of its input."""
    x, said = number_of_units(shape, axis), axis
    with Listening() as mode:
        returned = operation(x)
    for function, args, kwargs, result in mode.heard:
        spec = spec_of(function)
        if not spec.is_silent:
            operand = args[0][0] if isinstance(args[0], list) else args[0]
            first = result if isinstance(result, Tensor) else result[0]
            call, source = (args, kwargs), tuple(operand.shape)
            said = of_result(spec.name, spec.kind, call, tuple(first.shape), source, said, result=first)
    return returned, said


@pytest.mark.parametrize(("name", "shape", "axis"), PAIRS)
def test_units_are_where_their_numbers_are(name: str, shape: tuple[int, ...], axis: int) -> None:
    result, said = followed(OPERATIONS[name], shape, axis)
    moving = [number for number in range(result.dim()) if (result.diff(dim=number) != 0).any()]
    assert moving == [said] or (moving == [] and said == result.dim() - 1)  # no units left: the last axis stands in


PRODUCTS = {
    "linear": (lambda self, x: F.linear(x, self.w), (5, 4), (3, 6, 4), 0),
    "linear by hand": (lambda self, x: x @ self.w, (4, 5), (3, 6, 4), 1),
    "weight on the left": (lambda self, x: self.w @ x, (5, 4), (4, 7), 0),
    "weight on the left of a batch": (lambda self, x: torch.matmul(self.w, x), (5, 4), (3, 4, 7), 0),
    "transposed on the left": (lambda self, x: self.w.t() @ x, (4, 5), (4, 7), 1),
    "matrix times vector": (lambda self, x: torch.mv(self.w, x), (5, 4), (4,), 0),
    "addmm": (lambda self, x: torch.addmm(torch.zeros(5), x, self.w), (4, 5), (3, 4), 1),
    "experts": (lambda self, x: torch.bmm(x, self.w), (3, 4, 5), (3, 6, 4), 2),
    "einsum": (lambda self, x: torch.einsum("bi,oi->bo", x, self.w), (5, 4), (3, 4), 0),
    "einsum, units first": (lambda self, x: torch.einsum("oi,bit->bot", self.w, x), (5, 4), (3, 4, 7), 0),
    "einsum, heads": (lambda self, x: torch.einsum("btd,hde->bhte", x, self.w), (2, 4, 5), (3, 7, 4), 2),
    "einsum, heads last": (lambda self, x: torch.einsum("btd,edh->bteh", x, self.w), (5, 4, 2), (3, 7, 4), 2),
    "einsum, experts last": (lambda self, x: torch.einsum("bie,oie->boe", x, self.w), (5, 4, 3), (6, 4, 3), 0),
    "conv1d": (lambda self, x: F.conv1d(x, self.w), (5, 4, 3), (2, 4, 9), 0),
    "conv2d": (lambda self, x: F.conv2d(x, self.w), (5, 4, 3, 3), (2, 4, 7, 9), 0),
    "conv2d of one image": (lambda self, x: F.conv2d(x, self.w), (5, 4, 3, 3), (4, 7, 9), 0),
    "transposed": (lambda self, x: F.conv_transpose2d(x, self.w), (4, 5, 3, 3), (2, 4, 7, 9), 1),
    "embedding": (lambda self, x: F.embedding((x > 0).long(), self.w), (2, 5), (3, 6), 1),
}


@pytest.mark.parametrize("name", PRODUCTS)
def test_one_unit_of_a_weight_moves_one_unit_of_the_result(name: str) -> None:
    function, weight_shape, batch_shape, out = PRODUCTS[name]
    net, x = Net(function, w=seeded(*weight_shape)), seeded(*batch_shape, seed=1)
    trace = traced(net, x)
    (operation,) = [operation for operation in of_model(trace) if operation.kind == "weighted"]
    before = net(x).detach().clone()
    with torch.no_grad():
        net.w.select(out, 2 if weight_shape[out] > 2 else 1).add_(1.0)
    changed = (net(x) != before).movedim(operation.unit_axis, 0).reshape(weight_shape[out], -1).any(1)
    assert int(changed.sum()) == 1


def test_channels_stay_units_through_a_gate_of_halves() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        value, gate = self.conv(x).chunk(2, 1)
        return (value * torch.sigmoid(gate)).mean(dim=(2, 3))

    trace = traced(Net(forward, conv=nn.Conv2d(3, 8, 3)), seeded(2, 3, 7, 9))
    assert [one(trace, name).unit_axis for name in ("conv2d", "sigmoid", "mul", "mean")] == [1, 1, 1, 1]
    signal = one(trace, "sigmoid").forward
    assert signal is not None
    assert signal.units == 4


def test_heads_split_and_merged_end_at_the_last_axis() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        q = self.q(x).view(2, 5, 4, 2).transpose(1, 2)  # batch, heads, time, width of a head
        return torch.relu(q).transpose(1, 2).reshape(2, 5, 8).tanh()

    trace = traced(Net(forward, q=nn.Linear(8, 8)), seeded(2, 5, 8))
    assert one(trace, "relu").unit_axis == 3
    assert one(trace, "tanh").unit_axis == 2


def test_norms_of_channels_and_of_features() -> None:
    trace = seen(lambda self, x: self.a(x).mT + self.b(x.mT), seeded(4, 6, 8), a=nn.BatchNorm1d(6), b=nn.LayerNorm(6))
    assert (one(trace, "batch_norm").unit_axis, one(trace, "layer_norm").unit_axis) == (1, 2)


def test_a_scalar_has_none() -> None:
    trace = seen(lambda self, x: (x * self.w).sum(), seeded(3, 4), w=torch.ones(4))
    assert one(trace, "sum").unit_axis is None
    assert named(trace, "sum")[0].forward is None
