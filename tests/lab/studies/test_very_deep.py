import pytest

from stepzero.lab.studies import very_deep


@pytest.mark.slow
def test_orthogonal_weights_learn_at_depths_where_gaussian_ones_do_not():
    answer = very_deep.run("short", None)
    by_depth = {row[0]: row[1:] for row in answer.tables["gone"].rows}
    orthogonal, critical, keeping = by_depth[300]
    assert orthogonal > 0.3
    assert max(critical, keeping) < 0.1
    assert by_depth[1000][0] > 5 * max(by_depth[1000][1:])
    assert "At 1000 hidden layers" in very_deep.page(answer)


def test_shallow_networks_learn_from_any_of_the_starts(monkeypatch):
    monkeypatch.setattr(very_deep, "DEPTHS", {"short": (3,)})
    (row,) = very_deep.run("short", None).tables["gone"].rows
    assert min(row[1:]) > 0.8
