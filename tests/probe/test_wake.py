"""When a zero gradient ends: theorems, real gradient descent, and redrawing done by hand."""

import copy
from statistics import median
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from stepzero.probe import wake as module
from tests.probe.observing import Net, seeded
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import (
    TOKENS,
    Attends,
    Gated,
    Low,
    Rezero,
    by_name,
    causes,
    delays,
    gradient_after,
    learned,
    only_biases,
    woken,
    zeroed,
)

torch.manual_seed(0)  # the models below are built once, on import
TRUNK = ("0.weight", "0.bias", "2.weight", "2.bias")


# -- delayed --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("layers", [2, 3, 4, 5, 6])
def test_below_zero_layers_the_first_gradient_comes_layer_by_layer(layers):
    """Theorem 3: weight layer l of L is first touched at step L - l, so the first one at step L - 1."""
    fact = woken(only_biases(layers))
    expected = {
        f"{2 * (layer - 1)}.{part}": layers - layer for layer in range(1, layers) for part in ("weight", "bias")
    }
    assert delays(fact) == expected
    assert (fact.steps, fact.products, fact.blockers) == (layers - 1, (), ())


def test_each_step_of_waiting_costs_up_to_two_decades_of_the_first_gradient():
    found = [by_name(woken(only_biases(5), seed=seed)) for seed in range(7)]  # one draw by law is a factor ten off
    waking = [median(sizes[f"{layer}.weight"].wake_size for sizes in found) for layer in (6, 4, 2, 0)]
    assert all(size >= 0.1 * 1e-2**step for step, size in enumerate(waking, 1))
    assert all(later < earlier / 2 for earlier, later in zip([1.0, *waking], waking, strict=False))


DELAYED = {
    "zero head": (zeroed(stack(6, 8, 8, 3), "4.weight"), X, dict.fromkeys(TRUNK, 1)),
    "adapter B": (nn.Sequential(zeroed(Low(), "B"), nn.Tanh(), nn.Linear(8, 3)), X, {"0.A": 1}),
    "adapter A": (nn.Sequential(zeroed(Low(), "A"), nn.Tanh(), nn.Linear(8, 3)), X, {"0.B": 1}),
    "gate of a GLU": (zeroed(Gated(), "gate.weight"), X, {"up.weight": 1, "down.weight": 1}),
    "up of a GLU": (zeroed(Gated(), "up.weight"), X, {"gate.weight": 1, "down.weight": 1}),
    "down of a GLU": (zeroed(Gated(), "down.weight"), X, {"gate.weight": 1, "up.weight": 1}),
    "sigmoid GLU, both": (
        zeroed(Gated(torch.sigmoid), "gate.weight", "up.weight"),
        X,
        {"gate.weight": 1, "down.weight": 1},
    ),
    "query": (zeroed(Attends(), "q.weight"), TOKENS, {"k.weight": 1}),
    "key": (zeroed(Attends(), "k.weight"), TOKENS, {"q.weight": 1}),
    "value": (zeroed(Attends(), "v.weight"), TOKENS, {"q.weight": 1, "k.weight": 1, "o.weight": 1}),
    "output": (zeroed(Attends(), "o.weight"), TOKENS, {"q.weight": 1, "k.weight": 1, "v.weight": 1}),
    "query and output": (
        zeroed(Attends(), "q.weight", "o.weight"),
        TOKENS,
        {"v.weight": 1, "q.weight": 1, "k.weight": 2},
    ),
    "scalar gates": (
        Rezero(),
        X,
        {f"blocks.{block}.{layer}.{part}": 1 for block in (0, 1) for layer in (0, 2) for part in ("weight", "bias")},
    ),
    "gain of a branch": (
        Net(
            lambda self, x: self.head(x + self.norm(self.fc(x))),
            fc=nn.Linear(6, 6, bias=False),
            norm=zeroed(nn.BatchNorm1d(6), "weight"),
            head=nn.Linear(6, 3),
        ),
        X,
        {"fc.weight": 1},
    ),
    "gain on the main path, then linear": (
        zeroed(nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.Linear(8, 3)), "1.weight"),
        X,
        {"0.weight": 1, "0.bias": 1, "2.weight": 1},
    ),
}


@pytest.mark.parametrize("name", DELAYED)
def test_delays_are_those_of_real_gradient_descent(name):
    model, batch, expected = DELAYED[name]
    fact = woken(model, batch)
    assert delays(fact) == expected == learned(model, batch)
    assert fact.products == fact.blockers == ()
    assert not causes(fact)


def test_a_sound_network_sleeps_nowhere():
    fact = woken(stack(6, 8, 8, 3))
    assert (fact.parameters, fact.steps, fact.products, fact.blockers) == ((), 0, (), ())


# -- stuck ----------------------------------------------------------------------------------------------------------


STUCK = {
    "adapter A and B": (nn.Sequential(zeroed(Low(), "A", "B"), nn.Tanh(), nn.Linear(8, 3)), X, ("0.A", "0.B")),
    "gate and up": (zeroed(Gated(), "gate.weight", "up.weight"), X, ("gate.weight", "up.weight")),
    "gate and down": (zeroed(Gated(), "gate.weight", "down.weight"), X, ("gate.weight", "down.weight")),
    "up and down": (zeroed(Gated(), "up.weight", "down.weight"), X, ("up.weight", "down.weight")),
    "query and key": (zeroed(Attends(), "q.weight", "k.weight"), TOKENS, ("q.weight", "k.weight")),
    "value and output": (zeroed(Attends(), "v.weight", "o.weight"), TOKENS, ("v.weight", "o.weight")),
    "two layers": (zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight"), X, ("2.weight", "4.weight")),
    "gate and last layer": (
        zeroed(Rezero(1), "blocks.0.2.weight", "blocks.0.2.bias"),
        X,
        ("alpha.0", "blocks.0.2.weight"),
    ),
}


@pytest.mark.parametrize("name", STUCK)
def test_two_zero_factors_are_one_product_that_never_moves(name):
    model, batch, factors = STUCK[name]
    fact = woken(model, batch)
    (product,) = fact.products
    assert set(product.factors) == set(factors)
    never = {each.parameter for each in fact.parameters if each.stuck}
    assert never == {each for each, step in learned(model, batch).items() if step is None}
    assert set(factors) <= never
    assert set(causes(fact).values()) == {"value"}


@pytest.mark.parametrize("name", STUCK)
def test_drawing_one_factor_wakes_the_others_and_what_they_silence(name):
    model, batch, factors = STUCK[name]
    (product,) = woken(model, batch).products
    assert max(gradient_after(model, [], batch)[each] for each in product.factors) == 0
    woke = {each: gradient_after(model, [each], batch) for each in factors}
    for factor, gradients in woke.items():
        assert all(gradients[other] > 0 for other in factors if other != factor)
    assert all(any(gradients[each] > 0 for gradients in woke.values()) for each in product.silenced)


@pytest.mark.parametrize("name", STUCK)
def test_stuck_is_for_adam_too(name):
    model, batch, factors = STUCK[name]
    model = copy.deepcopy(model)
    optimizer = torch.optim.Adam([each for each in model.parameters() if each.requires_grad], weight_decay=0.1)
    for _ in range(10):
        optimizer.zero_grad()
        square(model(batch)).backward()
        optimizer.step()
    assert not any(bool(model.get_parameter(factor).any()) for factor in factors)


def test_two_products_are_two():
    model = zeroed(Attends(), "q.weight", "k.weight", "v.weight", "o.weight")
    products = {frozenset(product.factors) for product in woken(model, TOKENS).products}
    assert frozenset(["v.weight", "o.weight"]) in products
    half = nn.Sequential(zeroed(Low(), "A", "B"), nn.Tanh(), nn.Linear(8, 6), nn.Tanh(), zeroed(Low(), "A", "B"))
    products = {frozenset(product.factors) for product in woken(half, X).products}
    assert products == {frozenset(["0.A", "0.B"]), frozenset(["4.A", "4.B"])}


def test_one_slot_of_an_adapter_is_enough():
    def forward(self, x):
        return self.base(x) + torch.einsum("sor,sri,bi->bo", self.B, self.A, x)

    model = Net(forward, base=nn.Linear(6, 8).requires_grad_(False), A=seeded(3, 2, 6), B=torch.zeros(3, 8, 2))
    model.A.data[1] = 0
    fact = woken(model)
    assert by_name(fact)["A"].first == ((1, 1), (None, 1), (1, 1))
    assert by_name(fact)["B"].first == ((0, 1), (None, 1), (0, 1))
    assert [set(product.factors) for product in fact.products] == [{"A", "B"}]


BLOCKED = {
    "zero layer into a ReLU": (zeroed(stack(6, 8, 8, 3, phi=nn.ReLU), "2.weight", "2.bias"), "2.weight"),
    "zero gain into a ReLU": (
        zeroed(nn.Sequential(nn.Linear(6, 8), nn.LayerNorm(8), nn.ReLU(), nn.Linear(8, 3)), "1.weight"),
        "1.weight",
    ),
}


@pytest.mark.parametrize("name", BLOCKED)
def test_a_kink_at_zero_blocks_everything_and_is_named(name):
    model, blocker = BLOCKED[name]
    fact = woken(model)
    never = {each for each, step in learned(model).items() if step is None}
    assert {each.parameter for each in fact.parameters if each.stuck} == never
    assert {one for one, _ in fact.blockers} == never
    assert {other for _, other in fact.blockers} == {blocker}
    after = gradient_after(model, [blocker])
    assert all(after[each] > 0 for each in never)


@pytest.mark.parametrize("phi", [nn.ReLU, nn.Tanh, nn.GELU])
def test_no_blocker_is_named_that_does_not_wake(phi):
    """Everything zero: what is said to wake a parameter does, when it alone is redrawn."""
    model = zeroed(stack(6, 8, 8, 3, phi=phi), *TRUNK, "4.weight", "4.bias")
    fact = woken(model)
    assert {each.parameter for each in fact.parameters if each.stuck} == {*TRUNK, "4.weight"}
    for one, blocker in fact.blockers:
        assert gradient_after(model, [blocker])[one] > 0, (one, blocker)


def test_dead_relu_units_are_stuck_and_live_ones_are_not():
    model = stack(6, 8, 3, phi=nn.ReLU)
    with torch.no_grad():
        model[0].bias[:3] = -50.0
    fact = by_name(woken(model))
    assert fact["0.weight"].first == fact["0.bias"].first == ((None, 3), (0, 5))
    assert causes(woken(model))["0.weight"] == "value"


# -- float64, asked of doubtful parameters alone ----------------------------------------------------------------------


class Doubted:
    """Sleepers of which float32 says that rounding alone reaches them, though redrawing them changes the output."""

    off, loudest = frozenset(), 1.0

    def __init__(self):
        self.first = {"a": [None, 0, None], "b": [None]}

    def is_small_by_chance(self, name):
        return False

    def asleep(self, name):
        return [place for place, step in enumerate(self.first[name]) if step is None]

    def change_nothing_together(self, names):
        return False

    def change_nothing(self, names):
        return names in ([], ["b"])


@pytest.mark.parametrize(
    ("sizes", "expected", "first"),
    [
        ({"a": [1e-9, 2.0, 3e-9], "b": [1e-9]}, True, {"a": [0, 0, 0], "b": [0]}),
        ({"a": [1e-9, 2.0, 3e-9], "b": [-1e-16]}, True, {"a": [0, 0, 0], "b": [None]}),
        ({"a": [1e-9, 2.0, -1e-16], "b": [1e-9]}, False, {"a": [0, 0, None], "b": [0]}),
        ({"a": [-1e-17, 2.0, 0.0], "b": [-1e-16]}, False, {"a": [None, 0, None], "b": [None]}),
    ],
)
def test_float64_tells_small_gradients_from_rounding_where_float32_cannot(sizes, expected, first, monkeypatch):
    told = {name: torch.tensor(each, dtype=torch.float64) for name, each in sizes.items()}
    look = SimpleNamespace(look=lambda *_, names, loudest: SimpleNamespace(sizes={name: told[name] for name in names}))
    monkeypatch.setattr(module, "Replica", lambda _: look)
    sleepers = Doubted()
    assert module._is_rounding_alone(sleepers, None, ["a", "b"]) == expected
    assert sleepers.first == first


# -- what is computed and left aside ----------------------------------------------------------------------------------


class Aside(nn.Module):
    """A second result that the loss does not read: returned, or handed to numbers out of sight."""

    def __init__(self, way):
        super().__init__()
        self.way, self.main, self.aside = way, nn.Linear(8, 3), nn.Linear(8, 8)

    def forward(self, x):
        result, hidden = self.main(x), self.aside(x)
        if self.way == "out of sight":
            return result + float(hidden.detach().sum())
        return result, hidden


def test_what_only_leads_to_another_result_needs_no_copy(monkeypatch):
    made = []
    monkeypatch.setattr(module, "Replica", lambda *_, **__: made.append(1))
    fact = woken(Aside("returned"), TOKENS, lambda output: output[0].square().mean())
    assert {each.parameter: (each.cause, each.effect) for each in fact.parameters} == {
        "aside.weight": ("unused", False),
        "aside.bias": ("unused", False),
    }
    assert made == []


def test_what_leads_out_of_sight_is_drawn_and_looked_at():
    assert causes(woken(Aside("out of sight"), TOKENS)) == {"aside.weight": "cut", "aside.bias": "cut"}
