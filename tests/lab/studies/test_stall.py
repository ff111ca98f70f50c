import functools

import pytest

from stepzero import lab
from stepzero.lab.studies import stall


@pytest.fixture(scope="module")
def answer(tmp_path_factory):
    store = tmp_path_factory.mktemp("stall") / "lab.sqlite"
    return stall.run("short", functools.partial(lab.run, store=store, workers=2))


@pytest.mark.slow
def test_thirty_layers_train_from_he_and_stall_from_xavier(answer):
    for depth in (30, 40):
        he, xavier = answer.facts[f"He {depth}"], answer.facts[f"Xavier {depth}"]
        assert he["loss"] < 1.7
        assert he["accuracy"] > xavier["accuracy"] + 0.25
        assert xavier["loss"] == pytest.approx(2.3026, abs=0.05)
    assert answer.facts["He 30"]["accuracy"] > 0.6


@pytest.mark.slow
def test_fewer_layers_train_from_both_and_sooner_from_he(answer):
    assert answer.facts["Xavier 10"]["accuracy"] > 0.8
    assert answer.facts["He 22"]["loss"] < answer.facts["Xavier 22"]["loss"]
    assert answer.facts["Xavier 22"]["loss"] < answer.facts["Xavier 30"]["loss"]


@pytest.mark.slow
def test_the_gradient_of_the_lowest_layer_is_halved_in_power_a_layer(answer):
    for depth in stall.DEPTHS:
        assert 0.3 < answer.facts[f"ratio {depth}"] * 2 ** (depth / 2) < 2, depth
    assert set(answer.figures) == {"losses", "convolutions"}
    assert "30 layers: a loss of" in stall.page(answer)


@pytest.mark.slow
def test_thirty_convolutions_leave_the_start_from_he_and_stall_from_xavier(answer):
    for depth in (22, 30):
        he, xavier = answer.facts[f"convolutional He {depth}"], answer.facts[f"convolutional Xavier {depth}"]
        assert he["loss"] < 2.15
        assert he["accuracy"] > xavier["accuracy"] + 0.05
        assert xavier["loss"] == pytest.approx(2.3026, abs=0.05)
        assert 0.1 < answer.facts[f"convolutional ratio {depth}"] * 2 ** (depth / 2) < 2, depth
    assert "## With convolutions" in stall.page(answer)


def test_the_convolutions_differ_from_the_paper_in_size_alone():
    wanted = stall.convolutions("full")
    assert {22, 30} <= set(wanted.depths)
    assert (wanted.architectures, wanted.gains) == (("conv",), stall.grid("full").gains)


def test_the_grid_has_the_depths_of_the_paper_and_both_variances():
    grid = stall.grid("short")
    assert {22, 30} <= set(grid.depths)
    assert [gain**2 for gain in grid.gains] == pytest.approx([1, 0.5])
