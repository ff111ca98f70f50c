"""The record of a coordinate check: verdict of the whole, words, and the way through JSON."""

import math

import pytest

from stepzero.core.coordinates import CoordinateCheck, Place, Slope

STABLE = Place("body", "weighted", "stable", Slope(2, 0.01, -0.05, 0.07), sizes=((0, (1.0, 1.0)), (1, (0.1, 0.1))))
EXPLODES = Place("head", "weighted", "explodes", Slope(1, 1.0, 0.9, 1.1))
VANISHES = Place("stem", "weighted", "vanishes", Slope(2, -1.0, -1.1, -0.9))
UNMOVED = Place("frozen", "weighted", "unmoved")


def check(*places: Place) -> CoordinateCheck:
    return CoordinateCheck((64, 128, 256), 2, 3, "Adam", places)


def test_all_stable_is_fine():
    found = check(STABLE, UNMOVED)
    assert found.ok
    assert found.alarms == ()
    assert found.sentence == "stable: none of 1 places explodes or vanishes over widths 64 to 256"


def test_an_alarm_is_named_with_slope_and_interval():
    found = check(STABLE, EXPLODES, VANISHES)
    assert not found.ok
    assert [place.name for place in found.alarms] == ["head", "stem"]
    assert found.sentence == (
        "1 explode and 1 vanish of 3 places over widths 64 to 256; "
        "first head: explodes, change after step 1 ~ width^+1.00 [+0.90, +1.10]"
    )


def test_one_kind_of_alarm_is_counted_alone():
    assert check(STABLE, VANISHES).sentence.startswith("1 vanish of 2 places")


def test_nothing_judged_is_not_fine():
    assert not check(UNMOVED).ok
    assert "nothing could be judged" in check(UNMOVED).sentence


def test_words_say_what_was_measured():
    start, late = Slope(0, 0.5, 0.4, 0.6), Slope(3, 0.5, 0.4, 0.6)
    assert ", at the start ~" in Place("a", "weighted", "explodes", start).sentence
    assert "size once aligned, after step 3, ~" in Place("a", "logits", "explodes", late).sentence


def test_a_place_is_found_by_name():
    assert check(STABLE, EXPLODES).place("head") is EXPLODES
    with pytest.raises(KeyError):
        check(STABLE).place("tail")


def test_round_trip_with_infinite_slopes():
    found = check(STABLE, Place("head", "weighted", "explodes", Slope(1, math.inf, math.inf, math.inf)), UNMOVED)
    assert CoordinateCheck.from_json(found.to_json()) == found


def test_other_text_is_refused():
    with pytest.raises(ValueError, match="not a stepzero coordinate check"):
        CoordinateCheck.from_json("[1]")
