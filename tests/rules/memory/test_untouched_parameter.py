"""Only what the model's own initialiser passed over, and only when the default is far off."""

import torch
from torch import nn

from tests.rules.ask import ask, severities

TOKENS = torch.randint(50, (8, 12))


class Language(nn.Module):
    def __init__(self, draw=None, *, tied=True, own_table=False, layers=4):
        super().__init__()
        self.table = nn.Embedding(50, 64)
        self.layers = nn.Sequential(*[nn.Linear(64, 64) for _ in range(layers)])
        self.norm, self.head = nn.LayerNorm(64), nn.Linear(64, 50, bias=False)
        if tied:
            self.head.weight = self.table.weight
        if own_table:
            nn.init.normal_(self.table.weight, std=1.0)
        for module in self.layers if draw else ():
            draw(module)

    def forward(self, tokens):
        return self.head(self.norm(self.layers(self.table(tokens))))


def linears(module):
    nn.init.normal_(module.weight, std=0.125)


def test_a_tied_table_left_at_its_default():
    (finding,) = ask("SZ106", lambda: (Language(linears), TOKENS))
    assert (finding.severity, finding.where, finding.cause) == ("warning", ("table.weight",), "scheme-incomplete")
    assert finding.value > 7
    assert "wrote 4 of 5 weights and passed over table.weight" in finding.message


def test_a_table_that_is_only_looked_up_is_silent():
    assert severities("SZ106", lambda: (Language(linears, tied=False), TOKENS)) == []


def test_a_recipe_of_its_own_is_silent_here():
    assert severities("SZ106", lambda: (Language(linears, own_table=True), TOKENS)) == []


def test_without_an_initialiser_or_with_one_for_few_layers_it_is_silent():
    assert severities("SZ106", lambda: (Language(), TOKENS)) == []
    assert severities("SZ106", lambda: (Language(linears, layers=3), TOKENS)) == []


def test_defaults_near_the_law_are_silent():
    class Mixed(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(6)])
            for layer in self.layers[:5]:
                nn.init.kaiming_normal_(layer.weight)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x).relu()
            return x

    assert severities("SZ106", lambda: (Mixed(), torch.randn(16, 64))) == []


def test_a_weight_made_from_finished_values_is_silent():
    class Custom(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers = nn.ModuleList([nn.Linear(64, 64) for _ in range(5)])
            self.own = nn.Parameter(torch.randn(64, 64))
            for layer in self.layers:
                nn.init.kaiming_normal_(layer.weight)

        def forward(self, x):
            for layer in self.layers:
                x = layer(x).relu()
            return x @ self.own

    assert severities("SZ106", lambda: (Custom(), torch.randn(16, 64))) == []


def test_without_a_factory_there_is_nothing_to_say():
    assert severities("SZ106", Language(linears), TOKENS) == []
