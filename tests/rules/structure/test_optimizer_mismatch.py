import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, reasons, severities

X = torch.randn(32, 8, generator=generator(1))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, 4))


def square(output):
    return (output - 1).square().mean()


def said(model, optimizer):
    return severities("SZ704", model, X, square, optimizer=optimizer)


def test_a_head_that_came_after_the_optimizer_stays_as_it_is():
    model = net()
    optimizer = torch.optim.Adam(model.parameters())
    model[2] = nn.Linear(16, 3)
    (finding,) = ask("SZ704", model, X, square, optimizer=optimizer)
    assert (finding.severity, finding.where) == ("warning", ("2.weight", "2.bias"))
    start = model[2].weight.detach().clone()
    square(model(X)).backward()
    optimizer.step()
    assert torch.equal(model[2].weight, start)


def test_an_optimizer_of_another_model_is_an_error():
    (finding,) = ask("SZ704", net(), X, square, optimizer=torch.optim.Adam(net().parameters()))
    assert (finding.severity, finding.where) == ("error", ("",))
    assert "holds 4 tensors" in finding.message


def test_an_optimizer_without_anything_to_train_is_an_error():
    model = net().requires_grad_(False)
    assert severities("SZ704", model, X, square, optimizer="SGD") == ["error"]
    assert severities("SZ704", model, X, square) == [], "a frozen part may be checked by itself: incomplete"


def test_what_is_listed_twice_moves_twice():
    model = net()
    groups = [*model.parameters(), model[0].weight]
    with pytest.warns(UserWarning, match="duplicate"):
        optimizer = torch.optim.SGD(groups, lr=0.1)
    (finding,) = ask("SZ704", model, X, square, optimizer=optimizer)
    assert (finding.severity, finding.where) == ("warning", ("0.weight",))


def test_a_function_of_the_model_will_do():
    assert said(net, lambda model: torch.optim.SGD(model[0].parameters(), lr=0.1)) == ["warning"]
    assert said(net, lambda model: torch.optim.SGD(model.parameters(), lr=0.1)) == []


# -- traps ----------------------------------------------------------------------------------------------------------


def test_frozen_parameters_outside_every_group_are_silent():
    model = net()
    model[0].requires_grad_(False)
    assert said(model, torch.optim.SGD(model[2].parameters(), lr=0.1)) == []


def test_frozen_parameters_in_a_group_are_a_note():
    model = net()
    model[0].requires_grad_(False)
    assert said(model, torch.optim.SGD(model.parameters(), lr=0.1)) == ["info"]


def test_what_this_loss_does_not_reach_belongs_to_another_optimizer():
    class Pair(nn.Module):
        def __init__(self):
            super().__init__()
            self.one, self.other = net(), net()

        def forward(self, x):
            return self.one(x)

    model = Pair()
    assert said(model, torch.optim.SGD(model.one.parameters(), lr=0.1)) == []


def test_tied_weights_are_one_parameter():
    model = nn.Sequential(nn.Linear(8, 8), nn.ReLU(), nn.Linear(8, 8))
    model[2].weight = model[0].weight
    assert said(model, torch.optim.SGD(model.parameters(), lr=0.1)) == []


def test_wider_copies_of_mixed_precision_are_not_judged():
    model = net().bfloat16()
    masters = [nn.Parameter(each.detach().float()) for each in model.parameters()]
    why = reasons("SZ704", model, X.bfloat16(), loss=square, optimizer=torch.optim.SGD(masters, lr=0.1))
    assert why == ["SGD holds wider copies of the model's parameters"]


def test_an_instance_cannot_belong_to_a_model_that_is_built_now():
    why = reasons("SZ704", net, X, loss=square, optimizer=torch.optim.SGD(net().parameters(), lr=0.1))
    assert "pass a function of the model" in why[0]


def test_told_by_name_nothing_is_known_of_its_groups():
    assert said(net(), "adam") == []
