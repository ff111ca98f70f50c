"""The cost by depth is measured on networks that nothing is said of."""

import pytest

from benchmarks import depth


@pytest.mark.parametrize("stack", depth.STACKS)
def test_a_healthy_stack_is_silent_at_every_depth(stack: str) -> None:
    row = depth.by_depth(stack, (4, 12), 1)
    assert row["said"] == [0, 0]
    assert row["layers"] == [4, 12]
    assert all(value > 0 for value in (*row["step_seconds"], *row["check_seconds"], *row["ratio"]))


def test_the_growth_is_drawn() -> None:
    rows = [{"stack": "residual", "layers": [10, 100], "check_seconds": [0.1, 1.0], "step_seconds": [0.01, 0.1]}]
    assert depth.drawn(rows).count("<circle") == 4
