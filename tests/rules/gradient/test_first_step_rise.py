import math

import pytest
import torch
from torch import nn

import stepzero
from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 16, generator=generator(1))
LABELS = torch.arange(64) % 4


def net(width=128):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(16, width), nn.ReLU(), nn.Linear(width, 4))


def far(output):
    return (output - 1).square().sum(1).mean()


def said(optimizer, loss=far, model=None, **options):
    return severities("SZ410", model or net(), X, loss, optimizer=optimizer, **options)


def stepped(model, optimizer, loss=far):
    """Loss before and after one step of training."""
    before = loss(model(X))
    before.backward()
    optimizer.step()
    return float(before.detach()), float(loss(model(X)).detach())


@pytest.mark.parametrize("lr", [0.01, 0.1, 0.3, 1.0])
@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.Adam, torch.optim.RMSprop])
def test_it_says_what_a_real_step_does(kind, lr):
    model = net()
    found = ask("SZ410", model, X, far, optimizer=kind(model.parameters(), lr=lr))
    before, after = stepped(model, kind(model.parameters(), lr=lr))
    assert bool(found) is (after > 2 * before)
    if found:
        assert found[0].value == pytest.approx(after / before, rel=1e-3)


def test_a_step_into_infinity_is_an_error():
    assert said(lambda model: torch.optim.SGD(model.parameters(), lr=1e30)) == ["error"]


def test_the_parameter_whose_own_step_does_it_is_named():
    def optimizer(model):
        groups = [{"params": model[0].parameters(), "lr": 30.0}, {"params": model[2].parameters(), "lr": 1e-3}]
        return torch.optim.SGD(groups)

    model = nn.Sequential(nn.Linear(16, 32), nn.LeakyReLU(0.5), nn.Linear(32, 4))
    (finding,) = ask("SZ410", model, X, far, optimizer=optimizer)
    assert finding.where[0].startswith("0.")


def test_a_name_and_a_rate_are_enough():
    assert said("sgd", lr=1.0) == ["warning"]
    assert said(torch.optim.SGD, lr=1.0) == ["warning"]
    assert said(None, lr=1.0) == ["warning"]
    assert said("sgd", lr=1e-3) == []


def test_a_scale_that_explains_it_is_its_root():
    model = net()
    nn.init.normal_(model[0].weight, std=20.0)
    report = stepzero.check(model, X, far, optimizer=torch.optim.SGD(model.parameters(), lr=0.01))
    (finding,) = [each for each in report.findings if each.code == "SZ410"]
    assert finding.root == "SZ407:2.weight"


def test_training_with_such_a_step_is_worse_for_it():
    def trained(lr):
        model = net()
        optimizer = torch.optim.SGD(model.parameters(), lr=lr)
        for _ in range(20):
            optimizer.zero_grad()
            loss = far(model(X))
            loss.backward()
            optimizer.step()
        return float(loss.detach())

    assert said("sgd", lr=0.3) == ["warning"]
    assert said("sgd", lr=0.03) == []
    assert not trained(0.3) < trained(0.03)


# -- traps ----------------------------------------------------------------------------------------------------------


def test_without_an_optimizer_a_rate_or_a_loss_it_is_silent():
    assert said(None) == []
    assert said("sgd") == []
    assert severities("SZ410", net(), X, optimizer="sgd", lr=1.0) == []


def test_the_first_rate_of_a_warm_up_counts():
    def optimizer(model):
        made = torch.optim.SGD(model.parameters(), lr=1.0)
        torch.optim.lr_scheduler.LinearLR(made, start_factor=1e-3)
        return made

    assert said(optimizer) == []


def test_a_loss_that_is_nearly_zero_may_double():
    model = net()
    nn.init.zeros_(model[2].weight)
    with torch.no_grad():
        model[2].bias.copy_(torch.tensor([0.0, 9.0, 0.0, 0.0]))
    ones = torch.ones(64, dtype=torch.long)
    loss = lambda output: nn.functional.cross_entropy(output, ones)  # noqa: E731 - short
    before, after = stepped(net(), torch.optim.SGD([torch.zeros(1)], lr=0.1))
    assert before == after
    assert said("adam", loss, model, lr=1e-3) == []


def test_a_loss_below_zero_is_not_judged():
    assert said("sgd", lambda output: output.mean() - 5, lr=0.1) == []


def test_optimizers_that_need_more_than_a_step_are_not_judged():
    assert said(lambda model: torch.optim.LBFGS(model.parameters(), lr=1.0)) == []


def test_dropout_is_the_same_before_and_after():
    model = nn.Sequential(nn.Linear(16, 64), nn.ReLU(), nn.Dropout(0.9), nn.Linear(64, 4))
    assert said("sgd", model=model, lr=1e-9) == []


def test_the_model_and_the_optimizer_are_as_they_were():
    model = net()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.1)
    before = [each.detach().clone() for each in model.parameters()]
    assert not math.isnan(len(said(optimizer, model=model)))
    assert all(torch.equal(one, other) for one, other in zip(before, model.parameters(), strict=True))
    assert optimizer.state == {}
    assert all(each.grad is None for each in model.parameters())
