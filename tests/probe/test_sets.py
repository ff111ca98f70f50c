"""Equal tokens of a set stay equal under real training exactly when the probe says so."""

import copy

import pytest
import torch
from torch import Tensor, nn

import stepzero

X = torch.randn(8, 6, 8, generator=torch.Generator().manual_seed(3))


class Reader(nn.Module):
    """Learned queries read a memory and are pooled: as a set, with places added, or in a row of their own weights."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.kind, self.queries = kind, nn.Parameter(torch.randn(1, 8).repeat(4, 1))
        self.places = nn.Parameter(torch.randn(4, 8)) if kind == "places" else None
        self.read, self.head = nn.MultiheadAttention(8, 2, batch_first=True), nn.Linear(8, 2)
        self.weights = nn.Parameter(torch.randn(4)) if kind == "ordered" else None

    def forward(self, memory: Tensor) -> Tensor:
        queries = self.queries if self.places is None else self.queries + self.places
        answers = self.read(queries.expand(len(memory), -1, -1), memory, memory)[0].tanh()
        pooled = answers.mean(1) if self.weights is None else torch.einsum("bqd,q->bd", answers, self.weights)
        return self.head(pooled)


def loss(output: Tensor) -> Tensor:
    return (output - 1).square().mean()


def gap_after_training(model: nn.Module) -> float:
    trained = copy.deepcopy(model).double()
    optimizer = torch.optim.Adam(trained.parameters(), lr=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        loss(trained(X.double())).backward()
        optimizer.step()
    return float((trained.queries - trained.queries[:1]).detach().abs().max())


@pytest.mark.parametrize(("kind", "stays"), [("set", True), ("places", False), ("ordered", False)])
def test_the_probe_foretells_training(kind: str, stays: bool) -> None:
    model = Reader(kind)
    tokens = stepzero.trace(model, X, loss, probes=("symmetry",)).symmetry.tokens
    assert [block.members[0].units for block in tokens] == ([(0, 1, 2, 3)] if stays else [])
    assert (gap_after_training(model) < 1e-12) == stays


def test_the_check_finds_it_unasked() -> None:
    report = stepzero.check(Reader("set"), X, loss)
    assert ("SZ212", ("queries",)) in {(finding.code, finding.where) for finding in report.errors}
    assert not stepzero.check(Reader("places"), X, loss).errors
