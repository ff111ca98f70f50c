"""Two builds with one seed: what differs, and what may."""

import random

import torch
from torch import nn

from tests.rules.ask import ask, severities

X = torch.randn(16, 8)


def built(write):
    def build():
        model = nn.Sequential(nn.Linear(8, 8), nn.Tanh(), nn.Linear(8, 4))
        write(model[0])
        return model, X

    return build


def unseeded(module):
    generator = torch.Generator()
    generator.seed()
    nn.init.normal_(module.weight, generator=generator)


def test_a_generator_of_no_seed_is_named():
    (finding,) = ask("SZ105", built(unseeded))
    assert (finding.severity, finding.where) == ("warning", ("0.weight",))


def test_global_generators_of_any_library_repeat():
    def by_python(module):
        with torch.no_grad():
            module.bias.copy_(torch.tensor([random.random() for _ in range(8)]))

    assert severities("SZ105", built(by_python)) == []
    assert severities("SZ105", built(nn.Linear.reset_parameters)) == []


def test_fixed_tables_loaded_values_and_own_seeds_repeat():
    table = torch.sin(torch.arange(64.0)).view(8, 8)
    assert severities("SZ105", built(lambda module: module.weight.data.copy_(table))) == []
    own = torch.Generator()
    assert severities("SZ105", built(lambda m: nn.init.normal_(m.weight, generator=own.manual_seed(3)))) == []


def test_unwritten_memory_is_another_story():
    def build():
        model = nn.Linear(8, 4)
        model.weight = nn.Parameter(torch.empty(4, 8))
        return model, X

    assert severities("SZ105", build) == []
