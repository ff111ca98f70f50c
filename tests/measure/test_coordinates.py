"""Verdicts on sizes whose law is known."""

import math

import pytest

from stepzero.core.limits import Limits
from stepzero.measure.coordinates import History, judged

WIDTHS = (64, 128, 256, 512)


def family(*powers: float | None, reach: float | None = 0.0, noise: float = 0.05) -> dict[tuple[int, int], History]:
    """Three seeds whose sizes at each step follow a power of the width (None: zero), up to a little noise."""
    made = {}
    for width in WIDTHS:
        for seed in range(3):
            factor = math.exp(noise * (seed - 1))
            sizes = [0.0 if power is None else factor * width**power for power in powers]
            reaches = [] if reach is None else [factor * width**reach] * len(powers)
            made[width, seed] = History(sizes, reaches)
    return made


def verdict(histories, kind="weighted"):
    return judged("a", kind, histories, Limits()).verdict


def test_constant_sizes_are_stable():
    assert verdict(family(0, 0, 0)) == "stable"


@pytest.mark.parametrize("power", [0.5, 1.0])
def test_growth_at_any_step_explodes(power):
    for place in range(3):
        assert verdict(family(*(power if step == place else 0.0 for step in range(3)))) == "explodes"


def test_the_steepest_step_decides():
    place = judged("a", "weighted", family(0.5, 1.0, 0.6), Limits())
    assert place.decisive.step == 1
    assert place.decisive.value == pytest.approx(1.0)
    assert place.decisive.low < 1.0 < place.decisive.high


def test_small_at_the_start_is_no_alarm():
    assert verdict(family(-0.5, 0, 0)) == "stable"


def test_a_change_that_shrinks_vanishes():
    assert verdict(family(0, -1, -1, reach=-1.0)) == "vanishes"


def test_a_change_that_is_only_not_aligned_yet_is_no_alarm():
    assert verdict(family(0, -0.5, -0.5, reach=0.0)) == "stable"


def test_without_a_reach_half_a_power_may_be_lack_of_alignment():
    assert verdict(family(0, -0.5, -0.5, reach=None), "output") == "stable"
    assert verdict(family(0, -1, -1, reach=None), "output") == "vanishes"


def test_logits_are_their_own_reach():
    assert verdict(family(-0.5, -0.5, -0.5, reach=None), "logits") == "vanishes"


def test_a_change_that_catches_up_is_stable():
    assert verdict(family(0, -1, 0)) == "stable"


def test_what_does_not_move_is_not_judged():
    place = judged("a", "weighted", family(0, None, None), Limits())
    assert (place.verdict, place.decisive) == ("unmoved", None)


def test_a_step_without_change_is_passed_over():
    place = judged("a", "weighted", family(0, None, 0), Limits())
    assert place.verdict == "stable"
    assert [slope.step for slope in place.slopes] == [0, 2]


def test_noise_that_hides_the_slope_raises_no_alarm():
    histories = family(0, 0.3, 0.3)
    for (width, seed), history in histories.items():
        history.sizes[1] *= 8.0 ** ((seed + int(math.log2(width))) % 3)
        history.sizes[2] = 1.0
    assert verdict(histories) == "stable"


def test_wider_models_that_overflow_explode():
    histories = family(0, 0, 0)
    for seed in range(3):
        histories[512, seed].sizes[2] = math.inf
    place = judged("a", "weighted", histories, Limits())
    assert (place.verdict, place.decisive.value) == ("explodes", math.inf)


def test_sizes_are_means_over_seeds():
    place = judged("a", "weighted", family(0, 0.5, 0.5), Limits())
    assert place.sizes[1][1] == pytest.approx([width**0.5 for width in WIDTHS])
