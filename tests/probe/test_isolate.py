import torch
import torch.nn.functional as F
from torch import nn

from stepzero import api
from tests.probe.observing import seeded

IDS = torch.randint(30, (4, 10), generator=torch.Generator().manual_seed(0))


def isolated(model, batch, loss=None):
    return api.trace(model, batch, loss, probes=["isolate"]).isolate


class Through(nn.Module):
    """Something between two layers."""

    def __init__(self, between):
        super().__init__()
        self.first, self.between = nn.Linear(4, 5), between

    def forward(self, x):
        return self.between(self.first(x))


def test_samples_of_a_plain_network_do_not_meet():
    found = isolated(
        nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 2)), seeded(6, 4)
    )
    assert found.ran
    assert (found.samples, found.is_deaf, found.why_no_samples) == (None, False, "")


def test_the_first_place_and_the_number_of_others_are_told():
    found = isolated(Through(lambda h: h.cumsum(0)), seeded(6, 4))
    assert found.samples is not None
    assert (found.samples.operation, found.samples.module) == ("cumsum", "")
    assert (found.samples.affected, found.samples.of) == (5, 5)


def test_a_sample_that_is_not_heard():
    places = torch.arange(6.0)[:, None]
    found = isolated(Through(lambda h: 0 * h + places), seeded(6, 4))
    assert found.samples is None
    assert found.is_deaf
    assert not isolated(Through(lambda h: 0 * h), seeded(6, 4)).is_deaf, "a zero head"


def test_pairs_sets_and_links_are_told_apart():
    contrast = isolated(Through(lambda h: h @ h.T), seeded(6, 4))
    assert contrast.is_contrast
    assert contrast.is_set
    sequences = isolated(Through(lambda h: h.mean(1)), seeded(6, 3, 4))
    assert not sequences.is_contrast
    assert not sequences.is_set
    assert not sequences.is_linked

    class Graph(nn.Module):
        def __init__(self):
            super().__init__()
            self.first = nn.Linear(4, 6)

        def forward(self, x, edges):
            h = self.first(x)
            return h + h[edges[0]]

    assert isolated(Graph(), (seeded(6, 4), torch.tensor([[1, 2, 3, 4, 5, 0]]))).is_linked


def test_later_tokens_are_replaced_where_the_loss_asks_for_the_next():
    class Net(nn.Module):
        def __init__(self, step):
            super().__init__()
            self.table, self.head, self.step = nn.Embedding(30, 8), nn.Linear(8, 30), step

        def forward(self, ids):
            h = self.table(ids)
            return self.head(h + h.roll(self.step, 1))

    def loss(output):
        return F.cross_entropy(output[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())

    ahead, behind = isolated(Net(-1), IDS, loss), isolated(Net(2), IDS, loss)
    assert ahead.claim == behind.claim == "ids"
    assert ahead.future is not None
    assert (ahead.future.affected, ahead.future.operation) == (1, "roll")
    assert behind.future is not None, "a roll brings the end to the front"
    assert behind.future.affected == 2
    assert isolated(Net(0), IDS, loss).future is None


def test_results_without_an_axis_of_positions_are_not_taken_for_positions():
    class Pooled(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(30, 8), nn.Linear(8, 10)

        def forward(self, ids):
            return self.head(self.table(ids).mean(1))

    def loss(output):
        wide = F.pad(output, (0, 20))[:, None].expand(4, 9, 30)
        return F.cross_entropy(wide.flatten(0, 1), IDS[:, 1:].flatten())

    found = isolated(Pooled(), IDS, loss)
    assert found.claim == "ids"
    assert found.future is None
