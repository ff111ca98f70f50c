import pytest
import torch
from torch import nn
from torch.nn import functional as F

from stepzero.api import trace
from stepzero.core.graph import Graph
from stepzero.measure import zeros
from stepzero.measure.uses import readings


def proofs(model, batch, name):
    record = trace(model, batch)
    graph, facts = Graph(record), {fact.name: fact for fact in record.parameters}
    operation, use = readings(record)[name][0]
    pair = zeros.stuck_pair(graph, operation, facts) if not zeros.is_live(facts[name]) else ()
    return zeros.stuck_by_kink(graph, operation), pair, zeros.idiom(graph, operation, use)


def zeroed(model, *names):
    with torch.no_grad():
        for name in names:
            model.get_parameter(name).zero_()
    return model


def mlp(phi):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), phi(), nn.Linear(16, 16), phi(), nn.Linear(16, 4))


def stays_zero(model, batch, names, steps=3):
    """The oracle: really train a few steps."""
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    target = torch.randn_like(model(batch))
    for _ in range(steps):
        optimizer.zero_grad()
        (model(batch) - target).square().mean().backward()
        optimizer.step()
    return all(not model.get_parameter(name).any() for name in names)


def test_zero_weight_before_a_rectifier_is_stuck():
    model = zeroed(mlp(nn.ReLU), "2.weight", "2.bias")
    assert proofs(model, torch.randn(32, 8), "2.weight")[0]
    assert stays_zero(model, torch.randn(32, 8), ["2.weight"])


@pytest.mark.parametrize("phi", [nn.GELU, nn.SiLU, nn.Tanh])
def test_the_same_before_a_smooth_one_wakes(phi):
    model = zeroed(mlp(phi), "2.weight", "2.bias")
    assert proofs(model, torch.randn(32, 8), "2.weight")[0] is False
    assert not stays_zero(model, torch.randn(32, 8), ["2.weight"])


def test_zero_behind_zero_is_a_stuck_pair():
    names = ("2.weight", "2.bias", "4.weight")
    model = zeroed(mlp(nn.Tanh), *names)
    assert proofs(model, torch.randn(32, 8), "4.weight")[1] == ("2.weight",)
    assert stays_zero(model, torch.randn(32, 8), ["2.weight", "4.weight"])


def test_a_bias_between_them_wakes_the_second():
    model = zeroed(mlp(nn.Tanh), "2.weight", "4.weight")
    assert proofs(model, torch.randn(32, 8), "4.weight")[1] == ()
    assert not stays_zero(model, torch.randn(32, 8), ["4.weight"])


def test_one_zero_weight_is_never_a_pair():
    model = zeroed(mlp(nn.Tanh), "4.weight")
    assert proofs(model, torch.randn(32, 8), "4.weight") == (False, (), zeros.HEAD)


def test_zero_input_is_the_batch_s_doing():
    model = zeroed(nn.Sequential(nn.Linear(8, 8, bias=False), nn.Linear(8, 4)), "1.weight")
    assert proofs(model, torch.zeros(32, 8), "1.weight")[1] == ()


class Skip(nn.Module):
    def __init__(self, *, skip, gated=False):
        super().__init__()
        self.a, self.b, self.c = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, 8)
        self.skip, self.gated = skip, gated
        zeroed(self, "b.weight", "b.bias", "c.weight", "c.bias")

    def forward(self, x):
        h = torch.tanh(self.a(x))
        branch = torch.tanh(self.b(h)) * h if self.gated else self.b(h)
        return x + self.c(branch + h if self.skip else branch)


def test_two_zeros_with_a_skip_around_the_first_wake():
    model, batch = Skip(skip=True), torch.randn(32, 8)
    assert proofs(model, batch, "c.weight")[1] == ()
    assert proofs(model, batch, "b.weight")[2] == zeros.BRANCH
    assert not stays_zero(model, batch, ["b.weight"])


def test_without_the_skip_they_do_not():
    model, batch = Skip(skip=False), torch.randn(32, 8)
    assert proofs(model, batch, "c.weight")[1] == ("b.weight",)
    assert stays_zero(model, batch, ["b.weight", "c.weight"])


def test_gate():
    assert proofs(Skip(skip=True, gated=True), torch.randn(32, 8), "b.weight")[2] == zeros.GATE


class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.zeros(5, 5))
        self.q, self.k, self.v, self.out = (nn.Linear(8, 8) for _ in range(4))
        zeroed(self, "q.weight", "q.bias")

    def forward(self, x):
        scores = self.q(x) @ self.k(x).mT + self.table
        return self.out(F.softmax(scores, -1) @ self.v(x))


def test_tables_lookups_and_adapters_are_named():
    batch = torch.randn(16, 5, 8)
    assert proofs(Attention(), batch, "table")[2] == zeros.TABLE
    embedding = nn.Sequential(nn.Embedding(9, 8), nn.Linear(8, 4))
    nn.init.zeros_(embedding[0].weight)
    assert proofs(embedding, torch.randint(0, 9, (16,)), "0.weight")[2] == zeros.LOOKUP

    class Adapted(nn.Module):
        def __init__(self):
            super().__init__()
            self.base, self.a, self.b = nn.Linear(8, 8), nn.Linear(8, 2), nn.Linear(2, 8)
            self.head = nn.Linear(8, 4)
            zeroed(self, "b.weight", "b.bias")

        def forward(self, x):
            return self.head(self.base(x) + self.b(self.a(x)))

    assert proofs(Adapted(), torch.randn(16, 8), "b.weight")[2] in (zeros.ADDED, zeros.BRANCH)


@pytest.mark.parametrize(("phi", "is_shut"), [(nn.ReLU, True), (nn.GELU, False), (nn.Tanh, False)])
def test_a_zero_result_is_shut_in_where_the_slope_behind_it_is_zero(phi, is_shut):
    model = zeroed(
        nn.Sequential(nn.Linear(8, 16, bias=False), nn.Unflatten(1, (4, 4)), phi(), nn.Flatten()), "0.weight"
    )
    record = trace(model, torch.randn(8, 8))
    assert zeros.is_shut(Graph(record), readings(record)["0.weight"][0][0]) is is_shut


def test_what_is_also_read_elsewhere_is_not_shut_in():
    class Both(nn.Module):
        def __init__(self):
            super().__init__()
            self.fc = nn.Linear(8, 16, bias=False)
            nn.init.zeros_(self.fc.weight)

        def forward(self, x):
            z = self.fc(x)
            return F.relu(z) + z

    record = trace(Both(), torch.randn(8, 8))
    assert not zeros.is_shut(Graph(record), readings(record)["fc.weight"][0][0])
