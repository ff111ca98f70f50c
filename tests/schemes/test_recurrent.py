"""Gates each by its own, and the constants of state space models."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from stepzero import schemes


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.filterwarnings("ignore:LSTM with projections")
@pytest.mark.parametrize(
    ("cell", "gates"), [(nn.LSTM(24, 48), 4), (nn.GRU(24, 48), 3), (nn.LSTM(24, 48, proj_size=8), 4)]
)
def test_every_gate_is_orthogonal_by_itself(cell: nn.RNNBase, gates: int) -> None:
    weight = schemes.recurrent_(cell.weight_hh_l0, generator=seeded(), gates=gates)
    for gate in weight.detach().chunk(gates):
        assert torch.allclose(gate.T @ gate, torch.eye(gate.shape[1]), atol=1e-5)


def test_a_gate_of_a_stacked_orthogonal_matrix_is_not() -> None:
    stacked = schemes.orthogonal_(torch.empty(4 * 48, 48), generator=seeded())
    assert torch.linalg.svdvals(stacked[:48]).min().item() < 0.3


@pytest.mark.parametrize("gates", [1, 3, 4])
def test_glorot_by_gate_for_the_input(gates: int) -> None:
    weight = schemes.recurrent_(torch.empty(gates * 100, 60), generator=seeded(), gates=gates, slot="input")
    assert weight.square().mean().item() == pytest.approx(2 / 160, rel=0.05)


def test_state_space_constants() -> None:
    rates = schemes.ssm_log_a_(torch.empty(5, 16))
    assert torch.allclose(rates.exp(), torch.arange(1.0, 17).expand(5, 16))
    step = F.softplus(schemes.ssm_dt_bias_(torch.empty(20_000, dtype=torch.float64), generator=seeded()))
    assert 1e-3 <= step.min().item() < 1.01e-3
    assert 0.099 < step.max().item() <= 0.1
    assert step.log10().mean().item() == pytest.approx(-2, abs=0.03)


def test_wrong_arguments() -> None:
    with pytest.raises(ValueError, match="slot"):
        schemes.recurrent_(torch.empty(4, 4), generator=seeded(), slot="gate")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="low <= high"):
        schemes.ssm_dt_bias_(torch.empty(4), generator=seeded(), low=0.0)
    with pytest.raises(ValueError, match="scalar"):
        schemes.ssm_log_a_(torch.empty(()))
