import pytest
import torch

from benchmarks.fleet import __main__ as fleet
from benchmarks.fleet import spatial_side
from benchmarks.fleet.shape import Shape
from benchmarks.fleet.torch_side import Setup
from stepzero.lab import generic
from stepzero.lab.modules import MODULES


def test_every_contender_takes_the_steps_it_is_timed_for():
    shape = Shape(16, 2, networks=8, steps=2)
    seconds = fleet.measure(shape, None, rounds=1)
    assert set(seconds) == {"fleet", "loop", "vmap", "products"}
    assert all(each > 0 for each in seconds.values())
    assert fleet.row(shape, seconds)["times_loop"] == pytest.approx(seconds["loop"] / seconds["fleet"], abs=0.006)


def test_work_is_counted_as_products_of_every_layer():
    shape = Shape(16, 1)
    assert shape.flops == 2 * 32 * (3 * (16 * 16 + 16 * 10) - 16 * 16)


def test_all_start_from_the_same_networks():
    one, other = (Setup(Shape(16, 2)).models(2) for _ in range(2))
    pairs = zip(one[1].parameters(), other[1].parameters(), strict=True)
    assert all(torch.equal(first, second) for first, second in pairs)


def test_a_bar_missed_is_told():
    rows = [
        {"width": width, "times_loop": 20.0, "times_vmap": 2.0, "times_jax": 2.0, "share_of_products": 1.0}
        for width in (16, 32, 64)
        for _ in range(3)
    ]
    assert all(fleet.verdict(rows).values())
    rows[0]["times_loop"] = 14.0
    rows[8]["share_of_products"] = 0.4
    for row in rows[:3]:
        row["times_jax"] = 0.9
    assert not any(fleet.verdict(rows).values())


@pytest.mark.parametrize("architecture", MODULES)
def test_images_and_sequences_race_from_the_same_start(architecture):
    kind = spatial_side.Kind(architecture, 6, networks=2, steps=2)
    setup = spatial_side.Setup(kind)
    values = generic.views(setup.module, setup.weights[1])
    expected = torch.func.functional_call(setup.module, values, (setup.x,))
    torch.testing.assert_close(spatial_side.plain(setup, 1)(setup.x), expected, rtol=1e-4, atol=1e-5)
    row = spatial_side.row(kind, rounds=1)
    assert (row["architecture"], row["width"]) == (architecture, 6)
    assert min(row["times_loop"], row["times_vmap"], row["steps_per_second"]) > 0
