import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero.probe.aims import is_next, next_token
from stepzero.probe.replica import Replica
from stepzero.probe.subject import subject_of

IDS = torch.randint(50, (3, 8), generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("tokens", "target", "expected"),
    [
        (IDS, IDS[:, 1:], True),
        (IDS, IDS[:, 1:].flatten(), True),
        (IDS[:, :-1], IDS[:, 1:], True),
        (IDS[:, :-1], IDS[:, 1:].int(), True),
        (IDS, F.pad(IDS[:, 1:], (0, 1), value=-100), True),
        (IDS, IDS, False),
        (IDS, IDS[:, :-1], False),
        (IDS, F.pad(IDS[:, :-1], (1, 0)), False),
        (IDS, torch.full_like(IDS, -100), False),
        (IDS, IDS[:, 1:4], False),
        (torch.ones_like(IDS), torch.ones_like(IDS), False),
    ],
)
def test_the_next_token_is_told_from_others(tokens, target, expected):
    assert is_next(tokens, target) is expected


def test_the_input_is_found_among_several():
    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.table, self.head = nn.Embedding(50, 8), nn.Linear(8, 50)

        def forward(self, other, ids):
            return self.head(self.table(ids) + self.table(other))

    def loss(output):
        return F.cross_entropy(output[:, :-1].flatten(0, 1), IDS[:, 1:].flatten())

    subject = subject_of(Net(), (IDS.flip(1), IDS), loss)
    claim = next_token(Replica(subject), subject)
    assert claim is not None
    assert claim.name == "ids"
    assert claim.length == 8
    assert claim.is_it(IDS.clone())
    assert not claim.is_it(IDS.flip(1))


def test_a_loss_of_numbers_asks_for_no_token():
    subject = subject_of(nn.Embedding(50, 8), IDS, lambda output: output.square().mean())
    assert next_token(Replica(subject), subject) is None
