import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 16, generator=generator(1))
LABELS = torch.arange(64) % 10


def net(offset=0.0, prior=None, depth=1, seed=1, head=0.1):
    torch.manual_seed(seed)
    layers = [nn.Linear(16, 64), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    model = nn.Sequential(*layers, nn.Linear(64, 10))
    nn.init.constant_(model[0].bias, offset)
    nn.init.normal_(model[-1].weight, std=head)
    if prior is not None:
        with torch.no_grad():
            model[-1].bias.copy_(torch.tensor(prior).log())
    return model


def said(model, batch=X, labels=LABELS):
    return severities("SZ502", model, batch, "cross_entropy", labels)


def test_an_offset_of_the_features_picks_one_class():
    (finding,) = ask("SZ502", net(6.0), X, "cross_entropy", LABELS)
    assert (finding.severity, finding.where) == ("warning", ("2.weight",))
    winners = net(6.0)(X).argmax(1)
    assert finding.value == pytest.approx(float((winners == winners.mode().values).float().mean()), abs=0.05)


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("depth", [1, 3, 20])
def test_plain_draws_are_silent_at_every_depth(depth, seed):
    torch.manual_seed(seed)
    layers = [nn.Linear(16, 64), nn.ReLU()]
    for _ in range(depth - 1):
        layers += [nn.Linear(64, 64), nn.ReLU()]
    assert said(nn.Sequential(*layers, nn.Linear(64, 10))) == []


def test_a_prior_of_the_classes_is_a_note():
    prior = [0.91, *[0.01] * 9]
    assert said(net(prior=prior, head=0.01)) == ["info"]


def test_few_classes_are_silent():
    model = net(6.0)
    model[2] = nn.Linear(64, 4)
    assert said(model, labels=LABELS % 4) == []


def test_a_zero_head_is_silent():
    model = net(6.0)
    nn.init.zeros_(model[2].weight)
    nn.init.zeros_(model[2].bias)
    assert said(model) == []


def test_a_handful_of_samples_is_silent():
    assert said(net(6.0), X[:4], LABELS[:4]) == []
