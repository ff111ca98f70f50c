"""Certificates of plain stacks agree with the probe, and with what was planted."""

import itertools

import pytest
import torch
from torch import Tensor, nn

import stepzero
from stepzero.probe.stack import certificate, stages_of, static_twins


def stack(*widths: int, phi: type[nn.Module] = nn.Tanh) -> nn.Sequential:
    layers: list[nn.Module] = []
    for before, after in itertools.pairwise(widths):
        layers += [nn.Linear(before, after, dtype=torch.float64), phi()]
    return nn.Sequential(*layers[:-1])


def groups_of(size: int, block: int) -> Tensor:
    return torch.block_diag(*[torch.full((block, block), 1 / block, dtype=torch.float64)] * (size // block))


def lump_(model: nn.Sequential, block: int) -> None:
    """Equal sums over blocks of hidden units, everything else random."""
    linears = [layer for layer in model if isinstance(layer, nn.Linear)]
    with torch.no_grad():
        for place, layer in enumerate(linears):
            rows = groups_of(layer.out_features, block) if place < len(linears) - 1 else torch.eye(layer.out_features)
            columns = groups_of(layer.in_features, block) if place else torch.eye(layer.in_features)
            rows, columns = rows.double(), columns.double()
            rest = layer.weight - rows @ layer.weight
            layer.weight.copy_(rows @ layer.weight @ columns + rest - rest @ columns)
            layer.bias.copy_(rows @ layer.bias)


def observed(model: nn.Module, batch: Tensor) -> stepzero.Trace:
    return stepzero.trace(model, batch, lambda output: (output - 1).square().mean(), probes=("symmetry",))


def test_lumped_blocks_are_proved_without_data() -> None:
    torch.manual_seed(0)
    model = stack(5, 6, 6, 6, 2)
    lump_(model, 3)
    trace = observed(model, torch.randn(16, 5, dtype=torch.float64))
    expected = {f"{place}.weight": [[0, 1, 2], [3, 4, 5]] for place in (0, 2, 4)}
    assert certificate(trace, dict(model.named_parameters())) == expected
    assert static_twins(trace, dict(model.named_parameters()))["2.weight"] == []
    assert {(b.members[0].parameter, b.members[0].units) for b in trace.symmetry.blocks} == {
        (name, tuple(units)) for name, found in expected.items() for units in found
    }
    assert trace.symmetry.certificate.startswith("proved")


@pytest.mark.parametrize("phi", [nn.ReLU, nn.Tanh, nn.GELU])
def test_random_stacks_have_no_blocks(phi: type[nn.Module]) -> None:
    for seed in range(5):
        torch.manual_seed(seed)
        model = stack(4, 12, 9, 3, phi=phi)
        trace = observed(model, torch.randn(16, 4, dtype=torch.float64))
        assert certificate(trace, dict(model.named_parameters())) == {"0.weight": [], "2.weight": []}
        assert trace.symmetry.blocks == ()


def test_twin_channels_through_norm_and_flattening() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(2, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 16, 3))
    with torch.no_grad():
        model[0].weight[3] = model[0].weight[1]
        model[0].bias[3] = model[0].bias[1]
        columns = model[4].weight.view(3, 4, 16)
        columns[:, 3] = columns[:, 1]
    trace = observed(model, torch.randn(8, 2, 6, 6))
    assert static_twins(trace, dict(model.named_parameters())) == {"0.weight": [[1, 3]]}
    assert certificate(trace, dict(model.named_parameters())) == {"0.weight": [[1, 3]]}
    assert [block.members[0].units for block in trace.symmetry.blocks] == [(1, 3)]
    with torch.no_grad():
        model[1].weight[3] = 2.0  # the norm's gain is part of the row
    assert static_twins(trace, dict(model.named_parameters())) == {"0.weight": []}


class Residual(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.one, self.two = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return self.two(x + self.one(x))


@pytest.mark.parametrize(
    "model",
    [Residual(), nn.Sequential(nn.Linear(4, 4)), nn.Sequential(nn.Linear(4, 0), nn.Linear(0, 4))],
    ids=["skip", "single", "no width"],
)
def test_what_is_no_plain_stack_gets_no_certificate(model: nn.Module) -> None:
    trace = observed(model, torch.randn(8, 4))
    assert stages_of(trace, dict(model.named_parameters())) is None
    assert trace.symmetry.certificate == ""
