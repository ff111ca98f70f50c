from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from stepzero.core.errors import ConfigError
from stepzero.lab import tasks
from stepzero.lab.grid import Grid
from stepzero.lab.train import _Order, built, train

GRID = Grid(weights=("zero", "lecun", "normal"), lrs=(0.1, 0.5), widths=(7,), depths=(2,), seeds=3, steps=20, batch=10)
NETWORKS = list(GRID.networks())
ALONE = {each.key: outcome for each in NETWORKS for outcome in train([each])}


@settings(deadline=None, max_examples=15)
@given(st.lists(st.sampled_from(NETWORKS), min_size=1, max_size=20))
def test_an_outcome_is_the_same_in_any_company(networks):
    for outcome in train(networks):
        assert outcome == ALONE[outcome.network.key]


def test_points_are_at_the_steps_asked_for():
    network = next(iter(Grid(steps=30, measure=(3, 7)).networks()))
    (outcome,) = train([network])
    assert [point.step for point in outcome.points] == [0, 3, 7, 30]
    assert outcome.points[-1].loss < outcome.points[0].loss


def test_observing_more_often_changes_nothing():
    network = NETWORKS[-1]
    (often,) = train([replace(network, measure=(0, 1, 5, 6, 13, 20))])
    assert often.points[-1] == ALONE[network.key].points[-1]


def test_who_leaves_the_numbers_says_when():
    network = next(iter(Grid(tasks="teacher", activations="relu", lrs=1e6, steps=20).networks()))
    (outcome,) = train([network])
    assert 0 < outcome.stopped < 20


@pytest.mark.parametrize("architecture", ["residual", "residual_norm"])
def test_residual_networks_learn(architecture):
    network = next(iter(Grid(architectures=architecture, optimizers="adam", lrs=0.01, activations="relu").networks()))
    (outcome,) = train([network])
    assert outcome.points[-1].accuracy > 0.9


@pytest.mark.parametrize("architecture", ["conv", "recurrent", "transformer"])
def test_images_and_sequences_are_learned_and_company_does_not_matter(architecture):
    grid = Grid(
        tasks="parity" if architecture == "recurrent" else "digits", architectures=architecture, optimizers="adam",
        lrs=0.01, widths=8, batch=32, steps=12, activations="tanh", seeds=2,
    )  # fmt: skip
    networks = list(grid.networks())
    both = train(networks)
    assert [both[1]] == train(networks[1:])
    assert all(each.points[-1].loss < each.points[0].loss for each in both)


def test_a_task_without_a_shape_is_no_image():
    with pytest.raises(ConfigError, match=r"'conv' reads images.*digits"):
        train(list(Grid(architectures="conv").networks()))


def test_a_program_fits_its_task():
    network = next(iter(Grid(tasks="clusters", depths=3, widths=9).networks()))
    assert built(network, tasks.get("clusters")).rows[::2] == (20, 9, 9, 9)


def test_an_epoch_sees_every_sample_once_and_pieces_change_nothing():
    whole = _Order(0, 12, 4).next(6)
    pieces = _Order(0, 12, 4)
    assert torch.equal(whole, torch.cat([pieces.next(length) for length in (1, 3, 2)]))
    assert sorted(whole[:3].flatten().tolist()) == sorted(whole[3:].flatten().tolist()) == list(range(12))
