from stepzero.lab import summary
from stepzero.lab.store import AXES


def network(**changes):
    return {**dict.fromkeys(AXES, 1), "loss": 0.5, "accuracy": 0.95, "stopped": None, **changes}


def test_seeds_are_taken_together_and_the_stopped_count_for_themselves():
    found = summary.rows([
        network(seed=0, loss=0.1), network(seed=1, loss=0.3, accuracy=0.5), network(seed=2, loss=None, stopped=7),
        network(seed=0, lr=2, accuracy=None),
    ])  # fmt: skip
    first, second = found
    assert (first.n, first.learned, first.stopped, first.loss) == (3, 1, 1, 0.2)
    assert (second.n, second.learned, second.accuracy) == (1, None, None)
    assert summary.varying(found) == ["lr"]


def test_all_stopped_have_no_loss():
    (row,) = summary.rows([network(stopped=3)])
    assert (row.loss, row.stopped, row.learned) == (None, 1, 0)
