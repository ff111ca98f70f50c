import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.biases import bias_use, offsets

X = torch.randn(32, 8)


class Added(nn.Module):
    def __init__(self):
        super().__init__()
        self.fc, self.bias = nn.Linear(8, 16, bias=False), nn.Parameter(torch.randn(16))

    def forward(self, x):
        return self.fc(x) + self.bias


def found(model, x=X):
    record = trace(model, x)
    facts = {fact.name: fact for fact in record.parameters}
    return [offsets(record, operation, facts) for operation in record.operations if bias_use(operation) is not None]


@pytest.mark.parametrize(("model", "name"), [(nn.Linear(8, 16), "bias"), (Added(), "bias")])
def test_the_bias_is_taken_out_again(model, name):
    (found_offsets,) = found(model)
    bias = model.get_parameter(name).detach().double()
    weight = (model if isinstance(model, nn.Linear) else model.fc).weight.detach().double()
    product = X.double() @ weight.T
    assert found_offsets.bias == pytest.approx(bias.tolist())
    assert found_offsets.mean == pytest.approx(product.mean(0).tolist(), abs=1e-6)
    assert found_offsets.spread == pytest.approx(product.std(0, correction=0).tolist(), rel=1e-4)
    assert found_offsets.drive == pytest.approx(product.square().mean(0).sqrt().tolist(), rel=1e-4)
    assert found_offsets.by_law == pytest.approx(float(weight.square().mean().sqrt()) * 8**0.5)


def test_the_law_does_not_depend_on_what_comes_in():
    model = nn.Linear(8, 16)
    (usual,), (faint,) = found(model), found(model, 1e-3 * X)
    assert usual.by_law == faint.by_law
    assert max(faint.drive) < 1e-2


def test_nothing_without_a_bias_or_with_only_some_of_the_units():
    assert found(nn.Linear(8, 16, bias=False)) == []
    assert found(nn.Linear(8, 5000)) == [None]
