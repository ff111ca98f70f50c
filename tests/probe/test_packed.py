"""Which slices of one parameter are factors of one product, told by who wakes whom."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.probe.packed import factors_of
from tests.probe.observing import Net, seeded
from tests.probe.planting import square
from tests.probe.sleeping import woken

TOKENS = seeded(3, 5, 12)


def partners(pairs):
    """What drawing slices wakes where each wakes its partner."""
    both = pairs | {other: one for one, other in pairs.items()}
    return lambda drawn: {both[each] for each in drawn if each in both}


def test_sides_that_stand_one_after_the_other_are_whole():
    pairs = {0: 4, 1: 5, 2: 6, 3: 7}
    assert factors_of(list(range(8)), partners(pairs)) == ((0, 1, 2, 3), (4, 5, 6, 7))


def test_of_sides_that_alternate_one_pair_is_told():
    assert factors_of([0, 1, 2, 3], partners({0: 1, 2: 3})) == ((0,), (1,))


@pytest.mark.parametrize("woken", [lambda _: set(), set, lambda _: {0, 1, 2}])
def test_slices_that_wake_themselves_or_nothing_are_no_product(woken):
    assert factors_of([0, 1, 2], woken) is None
    assert factors_of([0], woken) is None


def test_what_wakes_without_any_of_them_drawn_waits_for_something_else():
    pairs = {0: 4, 1: 5}
    assert factors_of([0, 1, 2, 4, 5, 7], lambda drawn: partners(pairs)(drawn) | {2, 7}) == ((0, 1), (4, 5))
    assert factors_of([0, 1, 2], lambda drawn: {1, 2}) is None


def attention(zero):
    torch.manual_seed(0)
    inner = nn.MultiheadAttention(12, 4, batch_first=True)
    with torch.no_grad():
        for name in zero:
            start = 12 * "qkv".index(name)
            inner.in_proj_weight[start : start + 12] = 0
    return Net(lambda self, x: self.inner(x, x, x, need_weights=False)[0], inner=inner)


@pytest.mark.parametrize("zero", ["qk", "qkv"])
def test_query_and_key_of_a_packed_attention_are_one_dead_product(zero):
    model = attention(zero)
    (product,) = woken(model, TOKENS).products
    assert product.factors == ("inner.in_proj_weight",)
    assert product.slices == (tuple(range(12)), tuple(range(12, 24)))
    assert product.num_zeros == 2


@pytest.mark.parametrize("zero", ["", "q", "k", "v"])
def test_one_zero_of_three_is_none(zero):
    assert woken(attention(zero), TOKENS).products == ()


def gated(*zero):
    """Gate and value rows in one weight of twelve."""

    def forward(self, x):
        gate, value = self.both(x).chunk(2, -1)
        return self.down(F.silu(gate) * value)

    torch.manual_seed(0)
    model = Net(forward, both=nn.Linear(12, 12, bias=False), down=nn.Linear(6, 3))
    with torch.no_grad():
        for start in zero:
            model.both.weight[start : start + 6] = 0
    return model


def test_gate_and_value_rows_of_one_weight():
    (product,) = woken(gated(0, 6), TOKENS[:, 0]).products
    assert product.slices == (tuple(range(6)), tuple(range(6, 12)))
    assert woken(gated(0), TOKENS[:, 0]).products == woken(gated(6), TOKENS[:, 0]).products == ()


def test_real_training_leaves_them_at_zero():
    model = attention("qk").double()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2, weight_decay=1e-2)
    for _ in range(20):
        optimizer.zero_grad()
        square(model(TOKENS.double())).backward()
        optimizer.step()
    assert not model.inner.in_proj_weight[:24].any()
    assert bool(model.inner.in_proj_weight[24:].any())


def test_dead_units_are_no_product():
    """Zero rows behind a ReLU at zero wake when they themselves are drawn."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(12, 8), nn.ReLU(), nn.Linear(8, 3))
    with torch.no_grad():
        model[0].weight[:4], model[0].bias[:4] = 0, -0.1
    assert woken(model, TOKENS[:, 0]).products == ()


def adapted(seed):
    """Frozen rectified layers, each with an adapter whose second factor is zero, as adapters start."""
    torch.manual_seed(seed)
    layers = []
    for fan_in in (12, 16, 16):
        base, pair = nn.Linear(fan_in, 16).requires_grad_(False), (nn.Linear(fan_in, 3), nn.Linear(3, 16, bias=False))
        nn.init.zeros_(pair[1].weight)
        layers += [
            Net(lambda self, x: self.base(x) + self.up(self.down(x)), base=base, down=pair[0], up=pair[1]),
            nn.ReLU(),
        ]
    return nn.Sequential(*layers, nn.Linear(16, 3))


@pytest.mark.parametrize("seed", range(4))
def test_units_that_are_off_behind_an_adapter_are_none_of_its_factors(seed):
    assert woken(adapted(seed), TOKENS[:, 0]).products == ()
