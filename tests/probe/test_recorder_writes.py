"""What the recorder sees of additions in every spelling, of writes in place, into buffers and into parts."""

import operator
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from stepzero.core.graph import Graph
from tests.probe.observing import Net, named, names, of_model, one, seeded, seen, sources, traced

X = seeded(6, 4)


ADDITIONS = {
    "operator": lambda x, y: x + y,
    "function": torch.add,
    "method": lambda x, y: x.add(y),
    "in place": lambda x, y: x.clone().add_(y),
    "augmented": lambda x, y: operator.iadd(x.clone(), y),
    "aten": torch.ops.aten.add.Tensor,
    "into a buffer": lambda x, y: torch.add(x, y, out=torch.empty(6, 4)),
}


@pytest.mark.parametrize("name", ADDITIONS)
def test_one_graph_whoever_adds(name: str) -> None:
    with torch.no_grad():  # `out=` has no derivative
        trace = seen(lambda self, x, y: ADDITIONS[name](x, y), X, X + 1)
    added = one(trace, "add")
    assert added.kind == "add"
    upstream = [trace.operations[index] for index in Graph(trace).upstream({added.index})]
    assert sum(operation.name == "input" for operation in upstream) == 2
    assert added.is_inplace == (name in ("in place", "augmented", "into a buffer"))


def test_later_readers_read_what_was_written_in_place() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = self.layer(x)
        h.mul_(2)
        torch.relu_(h)
        return torch.tanh(h)

    trace = traced(Net(forward, layer=nn.Linear(4, 4)), X)
    assert names(trace) == ["linear", "mul", "relu", "tanh"]
    assert [sources(trace, operation) for operation in of_model(trace)[1:]] == [["linear"], ["mul"], ["relu"]]
    assert one(trace, "relu").is_inplace


@pytest.mark.parametrize(
    "call",
    [
        lambda x: F.relu(x, True),
        lambda x: F.leaky_relu(x, 0.1, True),
        lambda x: F.hardtanh(x, -1.0, 1.0, True),
        lambda x: F.silu(x, inplace=True),
        lambda x: torch.tanh(x, out=x),
    ],
)
def test_an_activation_that_overwrites_its_input_is_seen_and_undone(call: Any) -> None:
    batch = seeded(6, 4)
    with torch.no_grad():
        trace = seen(lambda self, x: torch.cos(call(x)), batch)
    written, read = of_model(trace)
    assert (written.kind, written.is_inplace, sources(trace, read)) == ("activation", True, [written.name])
    assert torch.equal(batch, seeded(6, 4))


def test_slopes_of_an_overwriting_activation_are_those_of_its_input() -> None:
    plain = one(seen(lambda self, x: F.silu(x @ self.w), X, w=seeded(4, 4)), "silu").forward
    written = one(seen(lambda self, x: F.silu(x @ self.w, True), X, w=seeded(4, 4)), "silu").forward
    assert plain is not None
    assert len(plain.flat_share) == 4
    assert written == plain


def test_a_write_through_a_view_reaches_readers_of_the_whole() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = self.layer(x)
        h[:, 0].mul_(3)
        return torch.tanh(h)

    trace = traced(Net(forward, layer=nn.Linear(4, 4)), X)
    assert sources(trace, one(trace, "tanh")) == ["mul"]


def test_item_assignment_joins_what_is_written_to_what_reads_it() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        out = torch.zeros(6, 8)
        out[:, :4] = torch.tanh(x @ self.w)
        out[:, 4:] = torch.sigmoid(x)
        return self.layer(out)

    trace = traced(Net(forward, w=seeded(4, 4), layer=nn.Linear(8, 2)), X)
    graph = Graph(trace)
    linear = one(trace, "linear")
    upstream = {trace.operations[index].name for index in graph.upstream({linear.index})}
    assert {"input", "matmul", "tanh", "sigmoid", "setitem"} <= upstream
    assert linear.from_input
    assert all(operation.forward is None for operation in named(trace, "setitem"))  # the rest may be unwritten
