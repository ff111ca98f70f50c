"""The law of a parameter is told from the operations that read it."""

import math

import pytest
import torch
from torch import nn

import stepzero
from stepzero.probe.subject import subject_of
from stepzero.repair.observe import observe
from stepzero.repair.planning import entries, layout, targets

X = torch.randn(32, 8, generator=torch.Generator().manual_seed(1))
LABELS = torch.arange(32) % 3


def planned(model, x=X, keep=(), target=LABELS):
    seen, meant = observe(subject_of(model, x, "cross_entropy", target[: len(x)]))
    found = layout(seen)
    made = entries(found, meant, keep)
    return {entry.name: entry for entry in made}, targets(found, made)


class Wrapped(nn.Module):
    """A forward given as a function of the module's layers."""

    def __init__(self, forward, **layers):
        super().__init__()
        self.run = forward
        for name, layer in layers.items():
            setattr(self, name, layer)

    def forward(self, *args):
        return self.run(self, *args)


@pytest.mark.parametrize(
    ("activation", "gain"),
    [
        (torch.relu, math.sqrt(2)),
        (torch.tanh, 1.59254),
        (nn.functional.gelu, 1.53353),
        (lambda z: nn.functional.leaky_relu(z, 0.2), math.sqrt(2 / 1.04)),
        (lambda z: z, 1.0),
        (lambda z: nn.functional.layer_norm(torch.relu(z), (16,)), 1.0),
        (lambda z: torch.relu(z).reshape(-1, 4, 4).flatten(1), math.sqrt(2)),
        (lambda z: 0.5 * torch.relu(z), 2 * math.sqrt(2)),
        (lambda z: (torch.relu(z) / 2).flatten(1), 2 * math.sqrt(2)),
        (lambda z: nn.functional.gelu(z) * 1.53353, 1.0),
        (lambda z: torch.relu(z) ** 2 * torch.linspace(1, 2, 16), 1.0),
    ],
)
def test_the_gain_is_that_of_the_function_which_feeds_the_layer(activation, gain):
    model = Wrapped(
        lambda m, x: m.head(m.c(activation(m.a(x)))), a=nn.Linear(8, 16), c=nn.Linear(16, 16), head=nn.Linear(16, 3)
    )
    found, _ = planned(model)
    assert found["c.weight"].gain == pytest.approx(gain, rel=1e-4)
    assert found["c.weight"].std == pytest.approx(gain / 4, rel=1e-4)


def residual(branches):
    def forward(m, x):
        x = m.start(x)
        for down, up in zip(m.down, m.up, strict=True):
            x = x + up(torch.relu(down(x)))
        return m.head(x)

    return Wrapped(
        forward,
        start=nn.Linear(8, 8),
        down=nn.ModuleList(nn.Linear(8, 16) for _ in range(branches)),
        up=nn.ModuleList(nn.Linear(16, 8) for _ in range(branches)),
        head=nn.Linear(8, 3),
    )


@pytest.mark.parametrize("branches", [1, 2, 5])
def test_the_last_weight_of_each_branch_is_scaled_by_their_number(branches):
    found, wanted = planned(residual(branches))
    for number in range(branches):
        entry = found[f"up.{number}.weight"]
        assert entry.role == "branch end"
        assert entry.gain == pytest.approx(math.sqrt(2 / branches))
        assert wanted[entry.name].share == pytest.approx(1 / branches)
        assert found[f"down.{number}.weight"].role == "weight"


def test_a_norm_at_the_end_of_a_branch_carries_the_factor():
    def forward(m, x):
        x = m.start(x)
        for layer, norm in zip(m.body, m.norms, strict=True):
            x = x + norm(layer(x))
        return m.head(x)

    parts = {
        "start": nn.Linear(8, 8),
        "head": nn.Linear(8, 3),
        "body": nn.ModuleList(nn.Linear(8, 8) for _ in range(4)),
    }
    found, wanted = planned(Wrapped(forward, norms=nn.ModuleList(nn.BatchNorm1d(8) for _ in range(4)), **parts))
    assert [found[f"norms.{number}.weight"].value for number in range(4)] == [0.5] * 4
    assert not any(name.startswith("body") for name in wanted)  # the norm takes their scale away


def test_a_weight_before_a_norm_is_not_calibrated():
    _, wanted = planned(nn.Sequential(nn.Linear(8, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Linear(16, 3)))
    assert set(wanted) == {"3.weight"}


def test_the_head_is_small():
    found, wanted = planned(nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3)))
    assert found["2.weight"].role == "head"
    assert wanted["2.weight"].std < wanted["0.weight"].std == 1.0


def test_few_inputs_put_kinks_on_samples():
    found, _ = planned(nn.Sequential(nn.Linear(2, 16), nn.ReLU(), nn.Linear(16, 3)), X[:, :2])
    assert found["0.bias"].scheme == "kinks"
    smooth, _ = planned(nn.Sequential(nn.Linear(2, 16), nn.Tanh(), nn.Linear(16, 3)), X[:, :2])
    assert smooth["0.bias"].value == 0.0


def test_a_transposed_weight_is_read_by_its_use():
    model = Wrapped(lambda m, x: m.head(torch.relu(x @ m.w)), w=nn.Parameter(torch.randn(8, 16)), head=nn.Linear(16, 3))
    found, _ = planned(model)
    assert (found["w"].fan_in, found["w"].fan_out) == (8, 16)


def test_a_frozen_tied_or_kept_tensor():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 3))
    model[2].weight = model[0].weight
    model[4].weight.requires_grad_(False)
    found, wanted = planned(model, keep=["4.b*"])
    assert found["0.weight"].aliases == ("2.weight",)
    assert found["4.weight"].action == found["4.bias"].action == "kept"
    assert "4.weight" not in wanted


def test_a_raw_parameter_in_arithmetic_is_kept():
    model = Wrapped(
        lambda m, x: m.head(torch.relu(m.a(x)) * m.temperature.exp()),
        temperature=nn.Parameter(torch.tensor(0.7)),
        a=nn.Linear(8, 8),
        head=nn.Linear(8, 3),
    )
    found, _ = planned(model)
    assert found["temperature"].action in ("kept", "skipped")
    assert found["temperature"].why


def test_a_parameter_that_nothing_reads_is_skipped():
    model = nn.Sequential(nn.Linear(8, 3))
    model.spare = nn.Parameter(torch.ones(3))
    found, _ = planned(model)
    assert found["spare"].action == "skipped"
    assert "no operation" in found["spare"].why


def test_a_prior_that_somebody_chose_stays_and_a_drawn_bias_does_not():
    model = nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 3))
    target = torch.tensor([0] * 28 + [1, 1, 2, 2])
    found, _ = planned(model, target=target)
    assert found["2.bias"].action == "set"
    with torch.no_grad():
        model[2].bias.copy_(torch.tensor([3.0, 0.3, 0.3]))
    chosen, _ = planned(model, target=target)
    assert chosen["2.bias"].action == "kept"
    assert "prior" in chosen["2.bias"].why


@pytest.mark.parametrize("padding", [None, 0, 3, -1])
def test_a_table_keeps_its_padding_row_at_zero(padding):
    model = Wrapped(
        lambda m, ids: m.head(torch.relu(m.embed(ids).mean(1))),
        embed=nn.Embedding(20, 8, padding_idx=padding),
        head=nn.Linear(8, 3),
    )
    found, wanted = planned(model, torch.arange(64).reshape(32, 2) % 20)
    row = None if padding is None else padding % 20
    assert found["embed.weight"].values == (() if row is None else ((row, row + 1, 0.0),))
    assert "embed.weight" not in wanted


class Tokens(nn.Module):
    """A table, and what reads it."""

    def __init__(self, body, entries=6):
        super().__init__()
        self.table, self.body, self.head = nn.Embedding(entries, 8), body, nn.Linear(8, 3)

    def forward(self, tokens):
        x = self.body(self.table(tokens))
        return self.head(x[0] if isinstance(x, tuple) else x)


TOKENS = torch.arange(30).reshape(5, 6) % 6


@pytest.mark.parametrize(
    ("body", "has_mean"),
    [(nn.GRU(8, 8), False), (nn.Linear(8, 8), False), (nn.LayerNorm(8), False), (nn.LSTM(8, 8), True)],
)
def test_rows_of_a_table_have_nothing_in_common_but_where_a_cell_adds_them_up(body, has_mean):
    model = Tokens(body)
    plan = stepzero.init_(model, TOKENS)
    mean = float(model.table.weight.detach().mean(0).abs().max())
    assert (mean > 1e-2) is has_mean
    assert float(model.table.weight.detach().square().mean().sqrt()) == pytest.approx(
        plan.entry("table.weight").std, rel=0.35
    )


def test_a_tied_table_and_one_of_a_single_row_are_drawn_as_ever():
    tied = Tokens(nn.LayerNorm(8))
    tied.head = nn.Linear(8, 6)
    tied.head.weight = tied.table.weight
    assert stepzero.init_(tied, TOKENS).entry("table.weight").scheme == "embedding"
    lone = Tokens(nn.LayerNorm(8), entries=1)
    assert stepzero.init_(lone, TOKENS * 0).entry("table.weight").scheme == "embedding"
