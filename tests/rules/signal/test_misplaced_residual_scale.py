import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator

X = torch.randn(32, 64, generator=generator(1))


class Block(nn.Module):
    """Two branches, a mixing one and a gated one; ``scaled`` names the weights that get the factor."""

    def __init__(self, scaled, factor, law):
        super().__init__()
        self.norm = nn.LayerNorm(64)
        shapes = {"mix": (64, 64), "out": (64, 64), "up": (64, 256), "gate": (64, 256), "down": (256, 64)}
        for name, (inputs, outputs) in shapes.items():
            layer = nn.Linear(inputs, outputs, bias=False)
            nn.init.normal_(layer.weight, std=law(inputs, outputs) * (factor if name in scaled else 1.0))
            setattr(self, name, layer)

    def forward(self, x):
        x = x + self.out(torch.tanh(self.mix(self.norm(x))))
        y = self.norm(x)
        return x + self.down(nn.functional.silu(self.up(y)) * self.gate(y))


def stack(*scaled, blocks=8, factor=None, law=lambda inputs, outputs: 0.05):
    torch.manual_seed(0)
    factor = (2 * blocks) ** -0.5 if factor is None else factor
    return nn.Sequential(*(Block(scaled, factor, law) for _ in range(blocks)), nn.Linear(64, 4))


LAWS = [
    lambda inputs, outputs: 0.05,
    lambda inputs, outputs: inputs**-0.5,
    lambda inputs, outputs: (2 / (inputs + outputs)) ** 0.5,
]


@pytest.mark.parametrize("law", LAWS)
def test_the_factor_on_the_wrong_half_is_found(law):
    (finding,) = ask("SZ317", stack("out", "gate", law=law), X)
    assert finding.severity == "warning"
    assert set(finding.where) == {f"{block}.{name}.weight" for block in range(8) for name in ("down", "gate")}
    assert finding.value == 8.0


def test_the_factor_missing_in_one_kind_of_branch_is_found():
    (finding,) = ask("SZ317", stack("out"), X)
    assert set(finding.where) == {f"{block}.down.weight" for block in range(8)}


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize("blocks", [2, 3, 4, 8])
def test_no_factor_and_the_right_one_are_silent(law, blocks):
    assert ask("SZ317", stack(law=law, blocks=blocks), X) == []
    assert ask("SZ317", stack("out", "down", law=law, blocks=blocks), X) == []


def test_a_factor_on_the_value_path_too_is_silent():
    assert ask("SZ317", stack("out", "down", "up"), X) == []


def test_torch_defaults_and_mixed_laws_are_silent():
    torch.manual_seed(0)
    model = stack()
    for module in model.modules():
        if isinstance(module, nn.Linear):
            module.reset_parameters()
    assert ask("SZ317", model, X) == []
    for block in model[:-1]:
        nn.init.xavier_uniform_(block.out.weight)
    assert ask("SZ317", model, X) == []


def test_zero_last_weights_are_another_scheme():
    model = stack("out")
    for block in model[:-1]:
        nn.init.zeros_(block.down.weight)
    assert ask("SZ317", model, X) == []


def test_another_factor_is_not_guessed():
    assert ask("SZ317", stack("out", factor=0.6), X) == []


class Normed(nn.Module):
    """A branch that ends in a norm: no factor in front of it means anything."""

    def __init__(self, blocks):
        super().__init__()
        self.a, self.b, self.norm = nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False), nn.LayerNorm(64)
        nn.init.normal_(self.a.weight, std=0.05 * blocks**-0.5)
        nn.init.normal_(self.b.weight, std=0.05)

    def forward(self, x):
        return x + self.norm(self.b(torch.tanh(self.a(torch.tanh(x)))))


def test_branches_that_end_in_a_norm_are_silent():
    torch.manual_seed(0)
    assert ask("SZ317", nn.Sequential(*(Normed(9) for _ in range(9)), nn.Linear(64, 4)), X) == []


class Small(nn.Module):
    """One branch, with weights of one and three numbers on the way, all drawn alike."""

    def __init__(self):
        super().__init__()
        self.norm, self.mix, self.out = nn.LayerNorm(64), nn.Linear(64, 64, bias=False), nn.Linear(64, 64, bias=False)
        self.pool, self.back = nn.Linear(1, 3, bias=False), nn.Linear(3, 1, bias=False)
        for layer in (self.mix, self.out, self.pool, self.back):
            nn.init.normal_(layer.weight, std=0.05)

    def forward(self, x):
        h = self.mix(self.norm(x))
        return x + self.out(torch.tanh(h + self.back(torch.tanh(self.pool(h.mean(-1, keepdim=True))))))


def test_weights_of_a_few_numbers_say_nothing():
    """The deviation of three numbers is known to a factor: any factor fits (timm's csatv2)."""
    torch.manual_seed(0)
    assert ask("SZ317", nn.Sequential(*(Small() for _ in range(8)), nn.Linear(64, 4)), X) == []
