import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, reasons, severities

X = torch.randn(64, 32, generator=generator(1))
Y = torch.arange(64) % 4


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(32, 64), nn.Tanh(), nn.Linear(64, 4))


def said(model, optimizer=None, **options):
    return ask("SZ407", model, X, "cross_entropy", Y, optimizer=optimizer, **options)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.AdamW, torch.optim.RMSprop])
@pytest.mark.parametrize("rate", [30.0, 1e-9])
def test_the_number_is_that_of_a_real_step(kind, rate):
    model = net()
    (finding,) = said(model, kind(model.parameters(), lr=rate))
    name, before = finding.where[0], {name: each.detach().clone() for name, each in model.named_parameters()}
    nn.functional.cross_entropy(model(X), Y).backward()
    model = model.double()  # float32 would round a step of 1e-9 away
    before = {name: each.double() for name, each in before.items()}
    for each in model.parameters():
        each.grad = each.grad.double()
    optimizer = kind(model.parameters(), lr=rate, **({"weight_decay": 0.0} if kind is torch.optim.AdamW else {}))
    optimizer.step()
    moved = dict(model.named_parameters())[name].detach() - before[name]
    real = float(moved.square().mean().sqrt() / before[name].square().mean().sqrt())
    assert finding.severity == "warning"
    assert finding.value == pytest.approx(real, rel=0.02)


def test_usual_rates_are_silent():
    for kind, rate in ((torch.optim.SGD, 0.1), (torch.optim.Adam, 1e-3), (torch.optim.AdamW, 3e-4)):
        model = net()
        assert said(model, kind(model.parameters(), lr=rate)) == []


def test_a_group_has_its_own_rate():
    model = net()
    groups = [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 3.0}]
    (finding,) = said(model, torch.optim.Adam(groups, lr=1e-3))
    assert finding.where == ("2.weight",)


# -- traps ----------------------------------------------------------------------------------------------------------


def test_zero_weights_are_measured_by_what_they_grow_to():
    model = net()
    nn.init.zeros_(model[2].weight)
    assert said(model, torch.optim.Adam(model.parameters(), lr=1e-3)) == []


def test_biases_gains_frozen_weights_and_those_in_no_group_are_not_judged():
    model = nn.Sequential(nn.Linear(32, 64), nn.LayerNorm(64), nn.Linear(64, 4))
    with torch.no_grad():
        model[0].bias.fill_(1e-6)
    assert said(model, torch.optim.Adam(model.parameters(), lr=1e-3)) == []
    model[2].weight.requires_grad_(False)
    model[0].weight.requires_grad_(False)
    assert said(model, torch.optim.SGD([each for each in model.parameters() if each.requires_grad], lr=1e-9)) == []
    assert said(net(), torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=100.0)) == []


def test_without_an_optimizer_it_is_a_note():
    quiet, loud = net(), net()
    with torch.no_grad():
        loud[0].weight.mul_(4e-3)
        loud[0].bias.zero_()
        loud[2].weight.mul_(100)
    assert severities("SZ407", quiet, X, "cross_entropy", Y) == []
    assert severities("SZ407", loud, X, "cross_entropy", Y) == ["info"]


def test_a_table_is_judged_by_the_rows_of_the_batch():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Embedding(100_000, 8), nn.Flatten(), nn.Linear(8, 4))
    ids = torch.arange(64)[:, None]
    assert ask("SZ407", model, ids, "cross_entropy", Y, optimizer=torch.optim.SGD(model.parameters(), lr=0.02)) == []


def test_no_loss_or_no_rate_is_said():
    assert reasons("SZ407", net(), X)
    assert reasons("SZ407", net(), X, loss="cross_entropy", target=Y, optimizer="adam")
