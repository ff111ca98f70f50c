"""What the recorder sees: the graph of operations, whoever calls them and however they write."""

import gc
import weakref
from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torch.utils.checkpoint
from torch import Tensor, nn

from stepzero.core.graph import Graph
from stepzero.core.trace import Trace
from tests.probe.models import CASES, Doubled
from tests.probe.observing import Net, named, names, of_model, one, seeded, seen, sources, traced, use_of

X = seeded(6, 4)


def test_edges_are_the_dataflow() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        a = self.first(x)
        b = torch.tanh(a)
        c = torch.sigmoid(a)
        return self.second(b * c) + x

    trace = traced(Net(forward, first=nn.Linear(4, 4), second=nn.Linear(4, 4)), X)
    names_of = {operation.index: operation.name for operation in trace.operations}
    edges = {(names_of[source], reader.name) for reader in of_model(trace) for source in reader.inputs}
    assert edges == {
        ("input", "linear"), ("linear", "tanh"), ("linear", "sigmoid"), ("tanh", "mul"), ("sigmoid", "mul"),
        ("mul", "linear"), ("linear", "add"), ("input", "add"),
    }  # fmt: skip
    assert [source for operation in trace.operations for source in operation.inputs if source >= operation.index] == []


def test_a_reused_module_has_a_call_for_each_use() -> None:
    model, batch, loss = CASES["reused_module"]()
    trace = traced(model, batch, loss)
    assert [(operation.module, operation.call) for operation in named(trace, "linear")] == [
        ("linear", 0), ("linear", 1), ("linear", 2),
    ]  # fmt: skip
    assert {fact.path: fact.calls for fact in trace.modules}["linear"] == 3


def test_operations_stand_in_the_module_whose_forward_ran_them() -> None:
    model = nn.Sequential(nn.Linear(4, 4), nn.Sequential(nn.ReLU(), nn.Linear(4, 2)))
    trace = traced(Net(lambda self, x: torch.tanh(self.net(x)), net=model), X)
    places = [(operation.name, operation.module) for operation in of_model(trace)]
    assert places == [("linear", "net.0"), ("relu", "net.1.0"), ("linear", "net.1.1"), ("tanh", "")]


def test_a_custom_function_is_seen_and_passed_through() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.b(Doubled.apply(self.a(x)))

    trace = traced(Net(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2)), X)
    first, second = named(trace, "linear")
    assert first.index in Graph(trace).upstream({second.index})
    doubled = one(trace, "mul")
    assert doubled.backward is not None
    assert first.backward is not None
    assert first.backward.rms == pytest.approx(2 * doubled.backward.rms)


class Foreign(torch.autograd.Function):
    """Computes outside torch, as a kernel written in another language does."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return torch.tensor([[2 * value for value in row] for row in x.tolist()])

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        return 2 * gradient


def test_a_custom_function_that_leaves_torch_does_not_cut_the_graph() -> None:
    trace = traced(Net(lambda self, x: self.b(Foreign.apply(self.a(x))), a=nn.Linear(4, 4), b=nn.Linear(4, 2)), X)
    first, second = named(trace, "linear")
    assert second.from_input
    assert first.index in Graph(trace).upstream({second.index})


@torch.library.custom_op("stepzero_tests::triple", mutates_args=())
def triple(x: Tensor) -> Tensor:
    """An operator of a library of its own."""
    return 3 * x


triple.register_autograd(lambda ctx, gradient: 3 * gradient)


def test_an_operator_of_another_library_is_one_operation() -> None:
    trace = seen(lambda self, x: torch.tanh(triple(x @ self.w)), X, w=seeded(4, 4))
    (between,) = [trace.operations[index] for index in one(trace, "tanh").inputs]
    assert (between.kind, between.from_input) == ("other", True)
    assert sources(trace, between)[0] == "matmul"
    assert between.backward is not None


def test_custom_functions_work_as_before_afterwards() -> None:
    before = torch.autograd.Function.__dict__["apply"]
    seen(lambda self, x: Doubled.apply(x @ self.w), X, w=seeded(4, 4))
    assert torch.autograd.Function.__dict__["apply"] is before
    with pytest.raises(RuntimeError, match="boom"):
        seen(lambda self, x: torch.tanh(explode()), X)
    assert torch.autograd.Function.__dict__["apply"] is before


def explode() -> Tensor:
    raise RuntimeError("boom")


@pytest.mark.parametrize("name", [name for name in CASES if name != "mutates_everything"])
def test_the_loss_is_computed_from_the_batch_and_every_gradient_has_a_use(name: str) -> None:
    model, batch, loss = CASES[name]()
    trace = traced(model, batch, loss)
    assert trace.loss.operation is not None
    upstream = Graph(trace).upstream({trace.loss.operation})
    assert any(trace.operations[index].name == "input" for index in upstream)
    used = {use.parameter for index in upstream for use in trace.operations[index].uses}
    with_gradient = {fact.name for fact in trace.parameters if fact.gradient is not None}
    reached = {fact.name for fact in trace.parameters if fact.is_used}
    assert with_gradient <= reached
    assert used <= reached


@pytest.mark.parametrize("name", ["weight_norms", "checkpointed", "compiled", "autocast"])
def test_weights_behind_wrappers_are_found(name: str) -> None:
    model, batch, loss = CASES[name]()
    trace = traced(model, batch, loss)
    layers = sum(isinstance(module, nn.Linear) for module in model.modules())
    weighted = list(trace.weighted())
    assert len(weighted) == layers
    assert all(operation.uses for operation in weighted)


def test_parametrised_weights_are_derived_from_their_parameters() -> None:
    model, batch, loss = CASES["weight_norms"]()
    trace = traced(model, batch, loss)
    for operation in trace.weighted():
        weight = [use for use in operation.uses if use.slot == "weight"]
        assert weight
        assert all(use.is_derived for use in weight)
    assert all(fact.is_used for fact in trace.parameters)


def test_a_cast_weight_is_still_the_parameter() -> None:
    trace = seen(lambda self, x: F.linear(x.double(), self.w.double()), X, w=seeded(3, 4))
    assert not use_of(trace, "w").is_derived
    assert one(trace, "linear").dtype == "float64"


def test_long_loops_are_recorded_whole_and_measured_now_and_then() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        for _ in range(200):
            x = torch.tanh(self.layer(x))
        return x

    trace = traced(Net(forward, layer=nn.Linear(4, 4)), X)
    for name in ("linear", "tanh"):
        calls = named(trace, name)
        measured = [operation for operation in calls if operation.forward is not None]
        assert len(calls) == 200
        assert 16 < len(measured) <= 24
        assert measured[-1] is not calls[len(measured) - 1]  # spread out, not only the first ones
        assert calls[0].forward is not None


def test_nothing_of_the_pass_stays_alive() -> None:
    kept: list[Any] = []

    def forward(self: Any, x: Tensor) -> Tensor:
        h = torch.tanh(self.layer(x))
        kept.append(weakref.ref(h))
        return h

    trace = traced(Net(forward, layer=nn.Linear(4, 4)), X)
    gc.collect()
    assert kept[0]() is None
    assert one(trace, "tanh").forward is not None


def test_constants_are_no_sources() -> None:
    trace = seen(lambda self, x: x * torch.arange(4.0) + torch.ones(4), X, layer=nn.Linear(4, 4))
    assert names(trace) == ["mul", "add"]
    assert [len(operation.inputs) for operation in of_model(trace)] == [1, 1]


def test_what_the_batch_does_not_reach_is_marked_and_not_measured() -> None:
    trace = seen(lambda self, x: x @ torch.tanh(self.w), X, w=seeded(4, 4))
    assert not one(trace, "tanh").from_input
    assert one(trace, "tanh").forward is None
    assert one(trace, "matmul").from_input


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors")
@pytest.mark.parametrize("layout", [torch.strided, torch.jagged])
def test_ragged_tensors_pass_through(layout: torch.layout) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        ragged = torch.nested.as_nested_tensor([x[:2], x], layout=layout)
        return self.b(torch.nested.to_padded_tensor(torch.relu(self.a(ragged)), 0.0))

    trace = traced(Net(forward, a=nn.Linear(4, 4), b=nn.Linear(4, 2)), X)
    first, second = named(trace, "linear")
    assert first.uses[0].fan_in == second.uses[0].fan_in == 4.0
    assert second.forward is not None
    assert Trace.from_json(trace.to_json()).operations[-1].index == trace.operations[-1].index


TRANSFORMS = {
    "vmap": lambda layer, x: torch.vmap(lambda row: torch.tanh(layer(row)))(x),
    "grad": lambda layer, x: torch.func.grad(lambda whole: torch.tanh(layer(whole)).sum())(x) * x,
    "vmap of grad": lambda layer, x: torch.vmap(torch.func.grad(lambda row: layer(row).sum()))(x) + layer(x),
}


@pytest.mark.parametrize("name", TRANSFORMS)
def test_what_follows_a_transform_is_still_reached_by_the_batch(name: str) -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        return self.last(TRANSFORMS[name](self.inside, self.first(x)))

    trace = traced(Net(forward, **{part: nn.Linear(4, 4) for part in ("first", "inside", "last")}), X)
    weighted = {operation.uses[0].parameter: operation for operation in trace.weighted()}
    assert list(weighted) == ["first.weight", "inside.weight", "last.weight"]
    assert weighted["last.weight"].forward is not None
    assert weighted["first.weight"].index in Graph(trace).upstream({weighted["last.weight"].index})
    assert all("torch.func" in why for _, why in trace.skipped)
    assert trace.skipped
