import torch
from torch import nn

from tests.rules.ask import ask, generator

X = torch.randn(16, 8, generator=generator(0))


def adam(model):
    return torch.optim.Adam(model.parameters(), lr=0.01)


def build(width=64):
    model = nn.Sequential(nn.Linear(8, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU(), nn.Linear(width, 1))
    return model, X, lambda output: (output - 1).square().mean()


def said(factory=build, **options):
    return [each.severity for each in ask("SZ309", factory, optimizer=adam, **{"deep": True, **options})]


def test_one_rate_for_all_widths_is_a_note_and_under_the_profile_a_warning():
    assert said() == ["info"]
    (finding,) = ask("SZ309", build, optimizer=adam, deep=True, profile="mup")
    assert finding.severity == "warning"
    assert finding.value > 0.25
    assert set(finding.where) <= {name for name, _ in build()[0].named_modules()}


# -- traps ----------------------------------------------------------------------------------------------------------


def test_a_factory_without_a_width_and_a_shallow_check_are_silent():
    assert said(lambda: build(64)) == []
    assert said(deep=False) == []
    assert said(build()[0], batch=X, loss=build()[2]) == []
