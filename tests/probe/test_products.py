"""Who blocks whom among zero factors."""

from stepzero.measure.control import laws
from stepzero.probe.capture import capture
from stepzero.probe.products import dead_products
from stepzero.probe.replica import Replica
from stepzero.probe.sleepers import Sleepers
from stepzero.probe.subject import subject_of
from tests.probe.planting import X, square, stack
from tests.probe.sleeping import Gated, Low, zeroed


def found(model, batch=X):
    subject = subject_of(model, batch, square)
    sleepers = Sleepers(Replica(subject), laws(capture(subject)), 3, 0, frozenset(), 1e-9)
    sleepers.stepped()
    return dead_products(sleepers)


def test_both_factors_of_an_adapter_are_one_product_and_either_wakes_the_other():
    products, blockers, woken = found(zeroed(Low(), "A", "B"))
    assert [set(product.factors) for product in products] == [{"A", "B"}]
    assert blockers == []
    assert woken == {"A", "B"}


def test_two_zero_layers_silence_what_stands_below_them():
    products, _, woken = found(zeroed(stack(6, 8, 8, 3), "2.weight", "2.bias", "4.weight"))
    (product,) = products
    assert {"2.weight", "4.weight"} <= set(product.factors)
    assert product.silenced == ("2.bias",)
    assert woken == {"2.weight", "2.bias", "4.weight"}


def test_a_gate_and_its_output_block_each_other():
    products, _, _ = found(zeroed(Gated(), "up.weight", "down.weight"))
    assert [set(product.factors) for product in products] == [{"up.weight", "down.weight"}]


def test_nothing_is_blocked_in_a_sound_network():
    assert found(stack(6, 8, 3)) == ([], [], set())
