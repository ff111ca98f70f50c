import pytest
import torch
from torch import nn

from stepzero.api import trace
from stepzero.measure.stream import streams


class Blocks(nn.Module):
    """``count`` blocks that add ``scale`` times an orthogonal map: growth is known exactly for scale 0."""

    def __init__(self, count=6, scale=1.0, norm=None, phi_after=False, project_at=None):
        super().__init__()
        self.branches = nn.ModuleList(nn.Linear(32, 32, bias=False) for _ in range(count))
        self.norms = nn.ModuleList(norm(32) if norm else nn.Identity() for _ in range(count))
        self.project = nn.Linear(32, 32)
        self.scale, self.phi_after, self.project_at = scale, phi_after, project_at
        for branch in self.branches:
            nn.init.orthogonal_(branch.weight)

    def forward(self, x):
        for number, (branch, norm) in enumerate(zip(self.branches, self.norms, strict=True)):
            if number == self.project_at:
                x = self.project(x)
            x = x + self.scale * branch(norm(x))
            x = torch.relu(x) if self.phi_after else x
        return x


def found(model, x=None):
    against = torch.randn(64, 32)
    record = trace(model, torch.randn(64, 32) if x is None else x, lambda output: (output * against).sum())
    return record, list(streams(record))


def test_one_run_of_all_blocks():
    record, (run,) = found(Blocks())
    assert (len(run.blocks), run.is_normalised) == (6, False)
    assert run.last_weights(record) == tuple(f"branches.{number}.weight" for number in range(6))


@pytest.mark.parametrize(("scale", "growth"), [(0.0, 1.0), (1.0, 2**3)])
def test_growth_of_orthogonal_branches(scale, growth):
    """|x + Qx|^2 = 2|x|^2 for random x: a factor sqrt(2) a block."""
    _, (run,) = found(Blocks(scale=scale))
    assert run.growth == pytest.approx(growth, rel=0.35)
    assert run.gradient_growth == pytest.approx(max(1.0, growth / 2**0.5), rel=0.35)


def test_norms_in_the_branch_are_seen():
    _, (run,) = found(Blocks(norm=nn.LayerNorm))
    assert run.is_normalised


def test_activations_between_blocks_keep_the_run_and_projections_end_it():
    _, (run,) = found(Blocks(phi_after=True))
    assert len(run.blocks) == 6
    _, runs = found(Blocks(project_at=2))
    assert [len(run.blocks) for run in runs] == [2, 4]


def test_no_run_without_a_skip():
    assert found(nn.Sequential(nn.Linear(32, 32), nn.ReLU(), nn.Linear(32, 32)))[1] == []
