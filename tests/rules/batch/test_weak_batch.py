import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 8, generator=generator(1))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def words(batch, **options):
    found = ask("SZ905", net(), batch, **options)
    assert {finding.severity for finding in found} <= {"info"}
    return " | ".join(finding.message for finding in found)


def test_one_sample_names_the_rules_without_an_answer():
    said = words(X[:1])
    assert "1 sample " in said
    assert {"SZ303", "SZ305", "SZ507"} <= set(said.replace(",", "").split())


def test_few_positions_name_only_the_rules_that_need_more():
    said = words(X[:16])
    assert "SZ305" in said
    assert "SZ303" not in said


def test_repeated_samples_are_counted():
    assert "16 of 64 samples differ" in words(X[:16].repeat(4, 1))


def test_samples_that_differ_in_one_place_only_differ():
    batch = X[:1].repeat(64, 1)
    batch[:, 3] = torch.arange(64)
    assert "differ" not in words(batch)


def test_samples_that_differ_in_another_input_differ():
    class Two(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = nn.Linear(8, 4), nn.Linear(8, 4)

        def forward(self, x, y):
            return self.one(x) + self.other(y)

    assert ask("SZ905", Two(), (X, torch.ones(64, 8))) == []


def test_token_ids_are_compared_too():
    table, ids = nn.Sequential(nn.Embedding(9, 4), nn.Linear(4, 2)), torch.randint(9, (40, 5), generator=generator(2))
    assert ask("SZ905", table, ids) == []
    (finding,) = ask("SZ905", table, ids[:10].repeat(4, 1))
    assert finding.value == len(ids[:10].unique(dim=0))


def test_features_that_never_change_are_counted():
    batch = X.clone()
    batch[:, :6] = 0.0
    assert "75% of the features" in words(batch)


def test_what_was_made_up_is_said():
    assert "made up: SZ901, SZ902 cannot judge" in words(X, batch_is_stand_in=True)


# -- traps ----------------------------------------------------------------------------------------------------------


def test_a_real_batch_is_silent():
    assert severities("SZ905", net(), X) == []


@pytest.mark.parametrize("shape", [(2, 3, 16, 16), (4, 3, 8, 8)])
def test_few_pictures_have_many_positions(shape):
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU())
    assert severities("SZ905", model, torch.randn(shape, generator=generator(3))) == []


def test_some_constant_features_are_ordinary():
    batch = X.clone()
    batch[:, :3] = 0.0
    assert severities("SZ905", net(), batch) == []
