import copy

import torch
from torch import nn
from torch.nn.utils.parametrizations import weight_norm

from tests.rules.ask import ask, reasons, severities

X = torch.randn(16, 8)


def generator(write):
    def build():
        layers = [weight_norm(nn.Conv1d(8, 8, 3, padding=1)) for _ in range(2)]
        model = nn.Sequential(layers[0], nn.LeakyReLU(0.1), layers[1])
        model.apply(write)
        return model, torch.randn(4, 8, 20)

    return build


def computed(module):
    if isinstance(module, nn.Conv1d):
        module.weight.data.normal_(0.0, 0.01)


def raw(module):
    if isinstance(module, nn.Conv1d):
        module.parametrizations.weight.original1.data.normal_(0.0, 0.01)


def test_every_layer_is_named():
    found = ask("SZ108", generator(computed))
    assert [finding.where[-1] for finding in found] == [
        "0.parametrizations.weight.original1",
        "2.parametrizations.weight.original1",
    ]
    assert {finding.severity for finding in found} == {"warning"}
    assert found[0].message.startswith("0.weight was written once")


def test_a_factory_may_copy_a_model_that_was_built_before():
    """No module is constructed then, and the write is lost all the same."""
    template = nn.Sequential(weight_norm(nn.Conv1d(8, 8, 3, padding=1)), nn.LeakyReLU(0.1))

    def build():
        return copy.deepcopy(template).apply(computed), torch.randn(4, 8, 20)

    (found,) = ask("SZ108", build)
    assert found.message.startswith("0.weight was written once")


def test_writes_into_the_raw_tensors_are_silent():
    assert severities("SZ108", generator(raw)) == []


def test_without_a_factory_it_is_not_judged_where_it_could_matter():
    model, batch = generator(computed)()
    assert severities("SZ108", model, batch) == []
    assert "needs a factory" in reasons("SZ108", model, batch)[0]
    assert reasons("SZ108", nn.Linear(8, 4), X) == []
