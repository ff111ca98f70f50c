import copy

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from tests.probe.observing import Net, seeded
from tests.probe.planting import square
from tests.rules.ask import ask, severities

X = seeded(3, 5, 12)


def attention(*, dropout=0.0, heads=4):
    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (heads, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        weights = self.drop((q @ k.mT * q.shape[-1] ** -0.5).softmax(-1))
        return self.o((weights @ v).transpose(1, 2).flatten(2))

    return Net(forward, drop=nn.Dropout(dropout), **{name: nn.Linear(12, 12) for name in "qkvo"})


def copied(model, *, first=0, other=2, names="qkv", columns=True):
    """Head ``other`` of width 3 is head ``first``."""
    one, two = slice(3 * first, 3 * first + 3), slice(3 * other, 3 * other + 3)
    with torch.no_grad():
        for name in names:
            layer = getattr(model, name)
            layer.weight[two], layer.bias[two] = layer.weight[one], layer.bias[one]
        if columns:
            model.o.weight[:, two] = model.o.weight[:, one]
    return model


def found(model, batch=X):
    return {finding.where: finding for finding in ask("SZ208", model, batch, square)}


def test_copied_heads_are_named_in_query_key_and_value():
    said = found(copied(attention()))
    assert set(said) == {("q.weight",), ("k.weight",), ("v.weight",)}
    for finding in said.values():
        assert (finding.severity, finding.value) == ("error", 3 / 4)
        assert "3 different heads of 4: heads 0 = 2" in finding.message


def test_their_units_are_not_told_again():
    assert severities("SZ201", copied(attention()), X, square) == []


def test_a_packed_attention():
    packed = nn.MultiheadAttention(12, 4, batch_first=True)
    with torch.no_grad():
        for start in (0, 12, 24):
            packed.in_proj_weight[start + 6 : start + 9] = packed.in_proj_weight[start : start + 3]
        packed.out_proj.weight[:, 6:9] = packed.out_proj.weight[:, :3]
    said = found(Net(lambda self, x: self.a(x, x, x, need_weights=False)[0], a=packed))
    assert set(said) == {("a.in_proj_weight",)}


def test_copied_heads_are_copies_under_a_real_optimizer():
    model = copied(attention()).double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    for _ in range(3):
        optimizer.zero_grad()
        square(model(X.double())).backward()
        optimizer.step()
    for layer in (model.q, model.k, model.v):
        assert float((layer.weight[6:9] - layer.weight[:3]).detach().abs().max()) < 1e-12


def parted(model):
    """How far two copied heads are from each other after training with dropout."""
    model = model.double().train()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        square(model(X.double())).backward()
        optimizer.step()
    return float((model.q.weight[6:9] - model.q.weight[:3]).detach().abs().max())


def fused(dropout):
    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (4, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        mixed = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout if self.training else 0.0)
        return self.o(mixed.transpose(1, 2).flatten(2))

    return Net(forward, **{name: nn.Linear(12, 12) for name in "qkvo"})


@pytest.mark.parametrize("made", [lambda dropout: attention(dropout=dropout), fused])
def test_dropout_on_the_attention_weights_lowers_it(made):
    assert parted(copied(made(0.3))) > 1e-6 > parted(copied(made(0.0)))
    said = found(copied(made(0.3)))
    assert set(said) == {("q.weight",), ("k.weight",), ("v.weight",)}
    assert {finding.severity for finding in said.values()} == {"warning"}
    assert all("until dropout 0.3 on the attention weights" in finding.message for finding in said.values())


@pytest.mark.parametrize("need", [True, False])
def test_dropout_inside_torchs_own_attention_lowers_it(need):
    module = nn.MultiheadAttention(12, 4, batch_first=True, dropout=0.2)
    with torch.no_grad():
        for start in (0, 12, 24):
            module.in_proj_weight[start + 6 : start + 9] = module.in_proj_weight[start : start + 3]
        module.out_proj.weight[:, 6:9] = module.out_proj.weight[:, :3]
    said = found(Net(lambda self, x: self.a(x, x, x, need_weights=need)[0], a=module))
    assert [finding.severity for finding in said.values()] == ["warning"]


def test_units_of_one_head_are_not_told_apart_by_it():
    """The same mask falls on all of them: two equal columns of the value stay copies."""
    model = attention(dropout=0.3)
    with torch.no_grad():
        model.v.weight[1], model.v.bias[1] = model.v.weight[0], model.v.bias[0]
        model.o.weight[:, 1] = model.o.weight[:, 0]
    assert severities("SZ201", model, X, square) == ["error"]
    moved = copy.deepcopy(model).double().train()
    optimizer = torch.optim.SGD(moved.parameters(), lr=0.1)
    for _ in range(5):
        optimizer.zero_grad()
        square(moved(X.double())).backward()
        optimizer.step()
    assert float((moved.v.weight[1] - moved.v.weight[0]).detach().abs().max()) < 1e-12


# -- traps ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["q", "k", "v", "qk"])
def test_heads_that_differ_in_one_of_three_are_silent(names):
    assert found(copied(attention(), names=names)) == {}


def test_heads_with_other_output_columns_are_silent():
    assert found(copied(attention(), columns=False)) == {}


def test_drawn_heads_are_silent():
    assert found(attention()) == {}


@pytest.mark.parametrize("groups", [1, 2])
def test_keys_and_values_shared_by_grouping_are_silent(groups):
    def forward(self, x):
        q, k, v = (layer(x).unflatten(-1, (-1, 3)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        return self.o(F.scaled_dot_product_attention(q, k, v, enable_gqa=True).transpose(1, 2).flatten(2))

    shared = {name: nn.Linear(12, 3 * groups) for name in "kv"}
    assert found(Net(forward, q=nn.Linear(12, 12), o=nn.Linear(12, 12), **shared)) == {}


def test_zero_queries_are_a_start_of_their_own():
    model = attention()
    nn.init.zeros_(model.q.weight)
    nn.init.zeros_(model.q.bias)
    assert found(model) == {}


def test_sampling_heads_with_zero_weights_and_a_grid_of_biases_are_silent():
    """As in deformable attention: logits and offsets are zero, and the offsets' biases differ by head."""

    def forward(self, x):
        places = self.offset(x).unflatten(-1, (4, -1)).tanh()
        weights = self.weigh(x).unflatten(-1, (4, -1)).softmax(-1)
        value = self.value(x).unflatten(-1, (4, -1))
        return self.out((value * (weights * places).sum(-1, keepdim=True)).flatten(2))

    parts = {"offset": nn.Linear(12, 8), "weigh": nn.Linear(12, 8), "value": nn.Linear(12, 12), "out": nn.Linear(12, 3)}
    model = Net(forward, **parts)
    for layer in (model.offset, model.weigh):
        nn.init.zeros_(layer.weight)
        nn.init.zeros_(layer.bias)
    model.offset.bias.data.copy_(torch.linspace(-1, 1, 8))
    assert found(model) == {}
