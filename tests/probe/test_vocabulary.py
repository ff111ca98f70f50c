"""One name and one kind for an operation, whoever calls it and how."""

import operator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from stepzero.probe import vocabulary
from stepzero.probe.vocabulary import KIND_OF, spec_of
from tests.probe.observing import Listening


def heard(call: Any) -> list[Any]:
    """The functions that a mode is called with while ``call`` runs."""
    with Listening() as mode:
        call()
    return [function for function, _, _, _ in mode.heard]


def x() -> Tensor:
    return torch.full((2, 4), 0.5)


def square() -> Tensor:
    return torch.full((4, 4), 0.5)


CALLS = {
    "add": [
        lambda: x() + x(),
        lambda: x() + 1,
        lambda: 1 + x(),
        lambda: torch.add(x(), x()),
        lambda: x().add(x()),
        lambda: torch.ops.aten.add(x(), x()),
        lambda: torch.ops.aten.add.Tensor(x(), x()),
        lambda: x().add_(x()),
        lambda: operator.iadd(x(), x()),
        lambda: torch.add(x(), x(), out=x()),
    ],
    "sub": [lambda: x() - x(), lambda: x() - 1, lambda: torch.subtract(x(), x()), lambda: x().sub_(1)],
    "mul": [
        lambda: x() * x(),
        lambda: 2 * x(),
        lambda: torch.multiply(x(), x()),
        lambda: x().mul_(2),
        lambda: operator.imul(x(), 2),
    ],
    "div": [
        lambda: x() / x(),
        lambda: 1 / x(),
        lambda: torch.true_divide(x(), x()),
        lambda: x().div_(2),
        lambda: operator.itruediv(x(), 2),
    ],
    "pow": [lambda: x() ** 2, lambda: 2 ** x(), lambda: torch.pow(x(), 2), lambda: operator.ipow(x(), 2)],
    "matmul": [
        lambda: square() @ square(),
        lambda: torch.matmul(square(), square()),
        lambda: square().matmul(square()),
        lambda: torch.linalg.matmul(square(), square()),
    ],
    "linear": [lambda: F.linear(x(), square()), lambda: torch.ops.aten.linear(x(), square())],
    "relu": [
        lambda: F.relu(x()),
        lambda: F.relu(x(), inplace=True),
        lambda: torch.relu(x()),
        lambda: x().relu(),
        lambda: x().relu_(),
        lambda: torch.ops.aten.relu.default(x()),
    ],
    "sigmoid": [
        lambda: F.sigmoid(x()),
        lambda: torch.sigmoid(x()),
        lambda: x().sigmoid_(),
        lambda: torch.special.expit(x()),
    ],
    "tanh": [lambda: F.tanh(x()), lambda: torch.tanh(x()), lambda: x().tanh()],
    "erf": [lambda: torch.erf(x()), lambda: torch.special.erf(x())],
    "abs": [lambda: abs(x()), lambda: torch.absolute(x()), lambda: x().abs_(), lambda: torch.abs(x())],
    "rsub": [lambda: 1 - x(), lambda: torch.rsub(x(), 1)],
    "silu": [lambda: F.silu(x()), lambda: torch.ops.aten.silu(x())],
    "softmax": [
        lambda: F.softmax(x(), -1),
        lambda: torch.softmax(x(), -1),
        lambda: x().softmax(-1),
        lambda: torch.special.softmax(x(), -1),
    ],
    "log_softmax": [lambda: F.log_softmax(x(), -1), lambda: torch.special.log_softmax(x(), -1)],
    "cat": [lambda: torch.cat([x()]), lambda: torch.concat([x()]), lambda: torch.concatenate([x()])],
    "transpose": [lambda: x().transpose(0, 1), lambda: x().swapaxes(0, 1), lambda: torch.swapdims(x(), 0, 1)],
    "layer_norm": [
        lambda: F.layer_norm(x(), (4,)),
        lambda: torch.native_layer_norm(x(), (4,), None, None, 1e-5),
    ],
    "getitem": [lambda: x()[0]],
    "setitem": [lambda: operator.setitem(x(), 0, 1.0)],
    "conv2d": [lambda: F.conv2d(torch.ones(1, 1, 3, 3), torch.ones(1, 1, 2, 2))],
    "cross_entropy": [lambda: F.cross_entropy(x(), torch.zeros(2, dtype=torch.long))],
    "embedding": [lambda: F.embedding(torch.zeros(2, dtype=torch.long), x())],
    "scaled_dot_product_attention": [lambda: F.scaled_dot_product_attention(*[torch.ones(1, 2, 4)] * 3)],
    "reshape": [lambda: x().reshape(-1), lambda: torch.reshape(x(), (-1,))],
    "T": [lambda: x().T],
}
IN_KIND = {
    "add": "add", "sub": "add", "mul": "multiply", "div": "multiply", "pow": "other", "matmul": "weighted",
    "linear": "weighted", "relu": "activation", "sigmoid": "activation", "tanh": "activation", "erf": "activation",
    "silu": "activation", "abs": "activation", "rsub": "add", "softmax": "softmax", "log_softmax": "softmax",
    "cat": "join", "transpose": "view",
    "layer_norm": "norm", "getitem": "view", "setitem": "other", "conv2d": "weighted", "cross_entropy": "loss",
    "embedding": "weighted", "scaled_dot_product_attention": "attention", "reshape": "view", "T": "view",
}  # fmt: skip


@pytest.mark.parametrize(("name", "number"), [(name, n) for name, calls in CALLS.items() for n in range(len(calls))])
def test_one_name_and_kind_whoever_calls(name: str, number: int) -> None:
    said = [spec for spec in map(spec_of, heard(CALLS[name][number])) if not spec.is_silent]
    said = [spec for spec in said if spec.name not in vocabulary.CREATORS]
    assert [(spec.name, spec.kind) for spec in said] == [(name, IN_KIND[name])]


@pytest.mark.parametrize(
    ("call", "is_inplace"),
    [
        (lambda: x().add_(1), True),
        (lambda: operator.iadd(x(), 1), True),
        (lambda: operator.setitem(x(), 0, 1.0), True),
        (lambda: x().copy_(x()), True),
        (lambda: x().index_add_(0, torch.zeros(2, dtype=torch.long), x()), True),
        (lambda: torch.ops.aten.mul_.Tensor(x(), x()), True),
        (lambda: torch.relu_(x()), True),
        (lambda: x().zero_(), True),
        (lambda: x() + 1, False),
        (lambda: ~torch.ones(2, dtype=torch.bool), False),
        (lambda: x().__index__ and x().sum(), False),
        (lambda: torch.relu(x()), False),
        (lambda: x().to(torch.float64), False),
    ],
)
def test_writes_are_known_as_such(call: Any, is_inplace: bool) -> None:
    assert spec_of(heard(call)[-1]).is_inplace is is_inplace


@pytest.mark.parametrize(
    "call",
    [
        lambda: x().shape,
        lambda: x().size(0),
        lambda: x().dtype,
        lambda: x().device,
        lambda: x().requires_grad,
        lambda: x().grad,
        lambda: x().dim(),
        lambda: x().is_contiguous(),
        lambda: x().sum().item(),
        lambda: len(x()),
        lambda: bool(x().sum() > 0),
        lambda: x().requires_grad_(),
        lambda: x().stride(),
        lambda: x().tolist(),
        lambda: repr(x()),
        lambda: torch.nn.init.uniform_(x()),
        lambda: torch.is_grad_enabled(),
    ],
)
def test_questions_about_a_tensor_are_no_operations(call: Any) -> None:
    last = spec_of(heard(call)[-1]) if heard(call) else None
    assert last is None or last.is_silent


def test_composites_are_opened_and_single_operations_are_not() -> None:
    assert spec_of(F.multi_head_attention_forward).opened is not None
    for whole in (F.relu, F.softmax, F.dropout, F.cross_entropy, F.layer_norm, F.interpolate, F.gumbel_softmax):
        assert spec_of(whole).opened is None
    assert spec_of(Tensor.norm).opened is None  # a method of Tensor would call itself for ever


def test_an_opened_function_gives_the_same_numbers_and_shows_its_inside() -> None:
    opened = spec_of(F.pairwise_distance).opened
    assert opened is None  # written in C++: nothing to open
    opened = spec_of(F.multi_head_attention_forward).opened
    attention = torch.nn.MultiheadAttention(4, 2, batch_first=False)
    q = torch.ones(3, 2, 4)
    arguments = (q, q, q, 4, 2, attention.in_proj_weight, attention.in_proj_bias, None, None, False, 0.0)
    rest = attention.out_proj.weight, attention.out_proj.bias
    assert opened is not None
    expected = F.multi_head_attention_forward(*arguments, *rest, need_weights=False)[0]
    calls = heard(lambda: torch.testing.assert_close(opened(*arguments, *rest, need_weights=False)[0], expected))
    inside = [spec_of(call).name for call in calls]
    assert {"linear", "scaled_dot_product_attention"} <= set(inside)


def test_every_name_has_one_kind() -> None:
    lists = [names for _, names in vocabulary._KINDS]
    assert sum(map(len, lists)) == len(KIND_OF)


NOT_IN_TORCH = {
    "sparsemax": "of entmax",
    "flex_attention": "of torch.nn.attention",
    "channels_last": "a memory format",
    "identity": "a name in graphs",
    "getitem": "Tensor.__getitem__",
    "rsub": "Tensor.__rsub__ and torch.rsub",
}


@pytest.mark.parametrize("name", sorted(KIND_OF))
def test_every_name_is_one_that_torch_has(name: str) -> None:
    homes = (torch, F, Tensor, torch.linalg, torch.special, torch.ops.aten, torch._C._nn)
    assert name in NOT_IN_TORCH or any(hasattr(home, name) for home in homes)


def test_renamed_names_end_in_names_that_stay() -> None:
    chains = [new for old, new in vocabulary._RENAMED.items() if vocabulary._RENAMED.get(new, new) != new]
    assert chains == []
