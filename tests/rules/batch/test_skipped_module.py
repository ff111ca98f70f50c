import torch
from torch import nn
from torch.nn import functional as F

from tests.rules.ask import ask

X = torch.randn(16, 8)


class Net(nn.Module):
    def __init__(self, **extra):
        super().__init__()
        self.head = nn.Linear(8, 4)
        for name, module in extra.items():
            setattr(self, name, module)

    def forward(self, x):
        return self.head(x)


def test_frozen_towers_are_one_note_with_their_share():
    model = Net(target=nn.Linear(8, 4).requires_grad_(False), tower=nn.Linear(8, 8).requires_grad_(False))
    (finding,) = ask("SZ907", model, X)
    assert (finding.severity, finding.where) == ("info", ("target", "tower"))
    assert finding.value == (36 + 72) / (36 + 36 + 72)
    assert "75%" in finding.message


def test_trainable_ones_are_said_elsewhere():
    assert ask("SZ907", Net(forgotten=nn.Linear(8, 8)), X) == []


def test_without_a_gradient_all_of_them_are_listed():
    model = Net(forgotten=nn.Linear(8, 8)).requires_grad_(False)
    (finding,) = ask("SZ907", model, X)
    assert finding.where == ("forgotten",)


def test_bare_parameters_used_through_functions_are_covered():
    class Bare(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = (
                nn.Parameter(torch.randn(4, 8) / 3),
                nn.Parameter(torch.zeros(4), requires_grad=False),
            )

        def forward(self, x):
            return F.linear(x, self.weight, self.bias)

    assert ask("SZ907", Bare(), X) == []


def test_models_without_parameters_and_without_a_forward_say_nothing():
    assert ask("SZ907", nn.Sequential(nn.ReLU()), X) == []
    assert ask("SZ907", nn.Sequential(nn.LazyLinear(4)), X) == []


def test_a_whole_model_is_placed_at_the_path_of_the_root():
    class Idle(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight, self.bias = (nn.Parameter(torch.ones(4), requires_grad=False) for _ in range(2))

        def forward(self, x):
            return x

    (finding,) = ask("SZ907", Idle(), X)
    assert finding.where == ("",)
