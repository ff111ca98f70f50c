"""Root causes by counterfactual repair: which findings vanish when the likeliest culprit is redrawn."""

import torch
from torch import Tensor, nn

from stepzero import api
from tests.probe import planting, sleeping
from tests.probe.observing import seeded

X = seeded(6, 4)


def told(network: nn.Module, batch: Tensor | None = None) -> dict[str, set[str]]:
    """Root causes by id, each with the codes that hang under it."""
    report = api.check(network, seeded(64, 6) if batch is None else batch, planting.square)
    loud = [each for each in report.findings if each.severity != "info"]
    roots: dict[str, set[str]] = {each.id: set() for each in loud if each.root is None}
    for each in loud:
        if each.root is not None:
            roots[each.root].add(each.code)
    return roots


def relu_stack() -> nn.Sequential:
    return planting.stack(6, 32, 32, 3, phi=nn.ReLU)


def test_a_zero_layer_into_a_relu_is_one_root_cause() -> None:
    (hanging,) = told(sleeping.zeroed(relu_stack(), "2.weight", "2.bias")).values()
    assert hanging <= {"SZ206", "SZ305", "SZ402", "SZ507"}


def test_a_zero_gain_on_the_main_path_explains_dead_and_stuck() -> None:
    network = nn.Sequential(nn.Linear(6, 32), nn.LayerNorm(32), nn.ReLU(), nn.Linear(32, 3))
    assert told(sleeping.zeroed(network, "1.weight")) == {"SZ310:1.weight": {"SZ305", "SZ402", "SZ507"}}


def test_a_bias_that_kills_a_layer_explains_what_is_stuck_around_it() -> None:
    network = relu_stack()
    nn.init.constant_(network[0].bias, -50.0)
    ((root, hanging),) = told(network).items()
    assert root == "SZ602:0.bias"
    assert {"SZ305", "SZ402"} <= hanging


def test_everything_zero_is_one_root_cause() -> None:
    network = planting.stack(6, 8, 8, 3)
    assert len(told(sleeping.zeroed(network, *dict(network.named_parameters())))) == 1


def test_independent_faults_stay_apart() -> None:
    twice = planting.copied(planting.copied(planting.stack(6, 8, 8, 8, 3), 0, 1, 4), 4, 2, 6)
    assert told(twice) == {"SZ201:0.weight": set(), "SZ201:4.weight": set()}
    adapter = sleeping.zeroed(sleeping.Low(), "A", "B")
    network = nn.Sequential(adapter, nn.Tanh(), *planting.copied(planting.stack(8, 8, 8, 3), 0, 0, 1))
    found = told(network)
    assert set(found) == {"SZ201:2.weight", "SZ701:0.A,0.B"}
    assert found["SZ701:0.A,0.B"] <= {"SZ206"}


def test_repairing_one_of_two_roots_leaves_the_other() -> None:
    network = sleeping.zeroed(relu_stack(), "2.weight", "2.bias")
    planting.copied(network, 0, 1, 4)
    before = told(network)
    nn.init.kaiming_normal_(network[2].weight)
    planting.copied(network, 0, 1, 4)
    assert set(told(network)) == {"SZ201:0.weight"}
    assert before


def test_a_sound_network_has_no_root() -> None:
    assert told(planting.stack(6, 16, 16, 3)) == {}


def test_repairs_leave_the_model_and_the_generator_alone() -> None:
    network = sleeping.zeroed(relu_stack(), "2.weight", "2.bias")
    before, state = {name: each.clone() for name, each in network.state_dict().items()}, torch.get_rng_state()
    told(network)
    assert all(torch.equal(each, before[name]) for name, each in network.state_dict().items())
    assert torch.equal(torch.get_rng_state(), state)
    assert all(parameter.grad is None for parameter in network.parameters())


def test_a_model_that_cannot_be_copied_is_explained_from_the_graph() -> None:
    network = relu_stack()
    nn.init.constant_(network[0].bias, -50.0)
    network.running = (each for each in "ab")  # type: ignore[assignment]  # what a module may hold
    assert "SZ602:0.bias" in told(network)
