"""The cost benchmark of the search for equal rows measures what it says."""

import pytest

from benchmarks import duplicates


def test_the_exponent_of_a_power_is_found() -> None:
    sizes = (256, 512, 1024, 2048)
    assert duplicates.exponent(sizes, [3e-6 * size**1.5 for size in sizes]) == pytest.approx(1.5)


@pytest.mark.parametrize("content", duplicates.CONTENTS)
def test_every_content_is_grouped_right(content: str) -> None:
    row = duplicates.against_sum(content, 64, 1)
    assert row["is_right"]
    assert row["ratio_per_projection"] * duplicates.PROJECTIONS == pytest.approx(row["ratio"])


def test_a_miss_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(duplicates, "twin_groups", lambda rows: [])
    assert not duplicates.against_sum("in pairs", 16, 1)["is_right"]
