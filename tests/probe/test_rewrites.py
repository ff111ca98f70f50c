"""A write is seen through every tensor that looks at the same memory, and through none that is given it later."""

from typing import Any

import numpy
import torch
from torch import Tensor, nn

from stepzero.probe.nodes import Node
from stepzero.probe.rewrites import Rewrites
from tests.probe.observing import Net, named, one, seeded, sources, traced

X = seeded(6, 4)


def test_a_tensor_that_is_given_the_memory_of_a_written_one_has_nothing_to_do_with_it() -> None:
    memory = numpy.zeros((6, 4), dtype=numpy.float32)

    def forward(self: Any, x: Tensor) -> Tensor:
        written = torch.from_numpy(memory).copy_(x)
        written[:, :2].add_(1)
        del written
        memory[:] = 0  # the allocator gives the memory out again; when it does so by itself is up to chance
        return self.layer(x) + torch.cos(torch.from_numpy(memory))

    trace = traced(Net(forward, layer=nn.Linear(4, 4)), X)
    assert [sources(trace, operation) for operation in named(trace, "add")] == [["getitem"], ["linear"]]
    assert named(trace, "cos") == []


def test_a_write_to_the_whole_reaches_readers_of_an_earlier_view() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = self.layer(x)
        first = h[:, 0]
        h.mul_(3)
        return torch.tanh(first)

    trace = traced(Net(forward, layer=nn.Linear(4, 4)), X)
    assert sources(trace, one(trace, "tanh")) == ["mul"]


def test_a_write_through_one_view_reaches_readers_of_another() -> None:
    def forward(self: Any, x: Tensor) -> Tensor:
        h = self.layer(x).view(6, 2, 2)
        flat = h.view(6, 4)
        h[:, 0].mul_(3)
        return torch.tanh(flat)

    trace = traced(Net(forward, layer=nn.Linear(4, 4)), X)
    assert sources(trace, one(trace, "tanh")) == ["mul"]


def test_what_was_made_after_the_write_keeps_its_own_source() -> None:
    rewrites, tensor, writer, later = Rewrites(), torch.zeros(4, 4), Node(3), Node(5)
    part = tensor[0]
    rewrites.expect([part])
    rewrites.note(part, writer)
    assert rewrites.latest(tensor, later) is later
    assert rewrites.latest(tensor, Node(2)) is writer
    assert rewrites.latest(tensor, None) is writer


def test_memory_that_one_tensor_looks_at_needs_no_entry() -> None:
    rewrites, tensor = Rewrites(), torch.zeros(4, 4)
    rewrites.expect([tensor])
    rewrites.note(tensor, Node(3))
    assert not rewrites.writers


def test_what_has_no_memory_is_passed_over() -> None:
    rewrites, sparse = Rewrites(), torch.eye(3).to_sparse()
    rewrites.expect([sparse])
    rewrites.note(sparse, Node(3))
    assert rewrites.latest(sparse, None) is None


def test_no_memory_is_kept_alive() -> None:
    rewrites, tensor = Rewrites(), torch.zeros(4, 4)
    part = tensor[0]
    rewrites.expect([part])
    rewrites.note(part, Node(3))
    del tensor, part
    ((reference, _),) = rewrites.writers.values()
    assert reference.expired()
