import pytest

from stepzero.lab.studies import very_deep


@pytest.fixture(scope="module")
def answer():
    return very_deep.run("short", None)


@pytest.mark.slow
def test_orthogonal_weights_learn_at_depths_where_gaussian_ones_do_not(answer):
    by_depth = {row[0]: row[1:] for row in answer.tables["plain"].rows}
    for depth in (300, 1000):
        orthogonal, *gaussian = by_depth[depth]
        assert orthogonal > 0.3
        assert max(gaussian) < 0.1
    assert "At 1000 hidden layers" in very_deep.page(answer)


@pytest.mark.slow
def test_fixup_begins_as_fast_at_any_depth_and_he_explodes(answer):
    fixup, he = answer.facts["Fixup"], answer.facts["He"]
    assert min(fixup) > 0.9
    assert max(fixup) - min(fixup) < 0.05
    assert all(value is None or value < 0.1 for value in he)
    assert he[-1] is None
    assert "the loss of He's start is no number" in very_deep.page(answer)


def test_shallow_networks_learn_from_any_of_the_starts():
    for law in very_deep.PLAIN.values():
        assert very_deep._gone(*very_deep._plain(3, *law), 300) > 0.8


def test_fixup_starts_each_branch_and_the_head_at_zero():
    made, numbers, _ = very_deep._residual(8, "Fixup")
    zero = [layer.name for layer in made.layers if (numbers[:, layer.offset : layer.bias] == 0).all()]
    assert zero == ["block.0.1", "block.1.1", "block.2.1", "block.3.1", "head"]


def test_critical_is_one_plus_a_root_that_depth_takes_away():
    assert very_deep.critical(100) == pytest.approx(1.1)
    assert very_deep.critical(10_000) == pytest.approx(1.01)
