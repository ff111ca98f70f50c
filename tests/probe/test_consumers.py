"""What reads a weighted result first, and which layers are heads."""

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.probe.models import CASES
from tests.probe.observing import Net, named, one, seeded, seen, traced

X = seeded(6, 8)
TARGET = torch.tensor([0, 1, 2, 3, 4, 5])

READERS = {
    "relu": ("relu", lambda self, h: torch.relu(h)),
    "gelu in a module": ("gelu", lambda self, h: self.gelu(h)),
    "relu behind dropout": ("relu", lambda self, h: torch.relu(F.dropout(h, 0.3))),
    "relu behind a bias": ("relu", lambda self, h: torch.relu(h + self.shift)),
    "relu behind a factor": ("relu", lambda self, h: torch.relu(h * 0.5)),
    "relu behind a view": ("relu", lambda self, h: torch.relu(h.view(6, 2, 4).transpose(1, 2))),
    "sigmoid behind a clamp": ("sigmoid", lambda self, h: torch.sigmoid(h.clamp(-5, 5))),
    "in place": ("relu", lambda self, h: h.relu_()),
    "residual": ("residual", lambda self, h: self.x + h),
    "gate": ("gate", lambda self, h: h * torch.sigmoid(self.b(self.x))),
    "self-gate": ("self-gate", lambda self, h: h * h.sigmoid()),
    "layer norm": ("norm", lambda self, h: F.layer_norm(h, (8,))),
    "layer norm by hand": ("norm", lambda self, h: (h - h.mean(-1, keepdim=True)) / h.std(-1, keepdim=True)),
    "softmax": ("softmax", lambda self, h: torch.softmax(h, -1)),
    "softmax behind a mask": ("softmax", lambda self, h: torch.softmax(h.masked_fill(h > 9, -9.0), -1)),
    "attention": ("attention", lambda self, h: F.scaled_dot_product_attention(h[None], h[None], h[None])),
    "scores by hand": ("product", lambda self, h: h @ h.mT),
    "weighted": ("weighted", lambda self, h: self.b(h)),
    "weighted behind a join": ("weighted", lambda self, h: self.wide(torch.cat([h, self.x], -1))),
    "pool": ("pool", lambda self, h: h.view(6, 2, 4).mean(1)),
    "pool before a norm": ("pool", lambda self, h: F.layer_norm(h.view(6, 2, 4).mean(1), (4,))),
    "gated halves": ("glu", lambda self, h: F.glu(h)),
}


@pytest.mark.parametrize("name", READERS)
def test_the_first_reader_of_a_layer(name: str) -> None:
    consumer, read = READERS[name]

    def forward(self: Any, x: Tensor) -> Tensor:
        self.x = x
        return torch.cos(read(self, self.a(x))).sum(-1)

    parts = {"b": nn.Linear(8, 8), "wide": nn.Linear(16, 8), "gelu": nn.GELU(), "shift": seeded(8)}
    trace = traced(Net(forward, a=nn.Linear(8, 8), **parts), X)
    first = next(operation for operation in trace.weighted() if operation.uses[0].parameter == "a.weight")
    assert first.consumer == consumer
    assert first.consumer_index is not None
    reader = trace.operations[first.consumer_index]
    assert consumer in (reader.name, reader.kind, reader.role)


def test_the_loss_and_the_output_are_consumers() -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 6))
    last = named(traced(model, X, "cross_entropy", TARGET), "linear")[1]
    assert last.consumer == "loss"
    two = Net(lambda self, x: (self.a(x), self.b(x)), a=nn.Linear(8, 6), b=nn.Linear(8, 3))
    first, second = named(traced(two, X, lambda output: F.cross_entropy(output[0], TARGET)), "linear")
    assert (first.consumer, second.consumer) == ("loss", "output")


def test_an_embedding_is_read_by_the_norm_behind_its_positions() -> None:
    parts = {"e": nn.Embedding(9, 8), "p": seeded(3, 8), "n": nn.LayerNorm(8)}
    trace = seen(lambda self, x: self.n(self.e(x) + self.p), torch.tensor([[1, 2, 3]] * 4), **parts)
    assert one(trace, "embedding").consumer == "norm"


def heads(trace: Any) -> list[str]:
    return [operation.uses[0].parameter for operation in trace.weighted() if operation.role == "head"]


def block(self: Any, x: Tensor) -> Tensor:
    return self.a(x) + self.b(torch.relu(self.a(x)))


HEADS = {
    "last of a stack": (lambda self, x: self.b(torch.relu(self.a(x))), ["b.weight"]),
    "behind an activation": (lambda self, x: torch.sigmoid(self.b(torch.relu(self.a(x)))), ["b.weight"]),
    "behind a pool": (lambda self, x: self.b(torch.relu(self.a(x))).view(6, 2, 4).mean(1), ["b.weight"]),
    "two outputs": (lambda self, x: (self.a(x), self.b(x)), ["a.weight", "b.weight"]),
    "a dictionary": (lambda self, x: {"logits": self.b(torch.relu(self.a(x)))}, ["b.weight"]),
    "none behind a norm": (lambda self, x: F.layer_norm(self.b(torch.relu(self.a(x))), (8,)), []),
    "none behind a residual": (lambda self, x: x + self.b(torch.relu(self.a(x))), []),
    "none behind a gate": (lambda self, x: torch.tanh(self.a(x)) * torch.sigmoid(self.b(x)), []),
}


@pytest.mark.parametrize("name", HEADS)
def test_heads(name: str) -> None:
    forward, expected = HEADS[name]
    assert heads(seen(forward, X, a=nn.Linear(8, 8), b=nn.Linear(8, 8))) == expected


@pytest.mark.parametrize(
    "loss",
    [
        lambda output: F.cross_entropy(output, TARGET),
        lambda output: (output - 1).pow(2).mean(),
        lambda output: -output.log_softmax(-1)[range(6), TARGET].mean(),
        None,
    ],
)
def test_a_head_is_a_head_under_every_loss(loss: Any) -> None:
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 6))
    assert heads(traced(model, X, loss)) == ["2.weight"]


def test_the_head_of_a_tied_model_is_the_last_use_not_the_table() -> None:
    model, batch, loss = CASES["tied_embedding"]()
    trace = traced(model, batch, loss)
    assert [operation.name for operation in trace.weighted() if operation.role == "head"] == ["linear"]
