import pytest
import torch
from torch import nn

from tests.rules.ask import ask, generator, severities

X = torch.randn(64, 32, generator=generator(7))


class Block(nn.Module):
    """``x + b(relu(a(norm(x))))``, drawn by He's law, the last layer times ``scale``."""

    def __init__(self, scale, norm, after):
        super().__init__()
        self.norm, self.after = norm(32) if norm else nn.Identity(), after(32) if after else nn.Identity()
        self.a, self.b = nn.Linear(32, 32, bias=False), nn.Linear(32, 32, bias=False)
        nn.init.kaiming_normal_(self.a.weight)
        nn.init.normal_(self.b.weight, std=scale * 32**-0.5)

    def forward(self, x):
        return self.after(x + self.b(torch.relu(self.a(self.norm(x)))))


class Small(nn.Module):
    def forward(self, x):
        return 0.02 * x


def net(blocks=24, scale=1.0, norm=None, after=None, first=None):
    torch.manual_seed(0)
    parts = (Block(scale, norm, after) for _ in range(blocks))
    return nn.Sequential(first or nn.Identity(), *parts, nn.Linear(32, 4))


def quiet(output):
    """A loss whose gradient does not grow with the output."""
    return output.square().add(1).sqrt().mean()


@pytest.mark.parametrize(("blocks", "expected"), [(8, []), (24, ["warning", "error"])])
def test_depth_decides(blocks, expected):
    said = severities("SZ308", net(blocks), X, quiet)
    assert said == [] if not expected else said[0] in expected


def test_error_needs_the_gradient():
    (finding,) = ask("SZ308", net(30), X, lambda output: output.square().mean())
    assert (finding.severity, finding.evidence) == ("error", "gradient")
    assert severities("SZ308", net(30).requires_grad_(False), X) == ["warning"]


def test_place_is_the_last_layer_of_each_branch():
    (finding,) = ask("SZ308", net(24), X)
    assert finding.where == tuple(f"{number}.b.weight" for number in range(1, 25))
    assert "over 24 residual blocks" in finding.message
    assert finding.fix.arguments == {"factor": 24**-0.5}


def test_a_loop_in_one_forward_is_judged_by_the_blocks_that_were_measured():
    class Loop(nn.Module):
        def __init__(self):
            super().__init__()
            self.layers, self.head = nn.ModuleList(nn.Linear(32, 32) for _ in range(24)), nn.Linear(32, 4)
            for layer in self.layers:
                nn.init.orthogonal_(layer.weight)

        def forward(self, x):
            for layer in self.layers:
                x = x + layer(x)
            return self.head(x)

    (finding,) = ask("SZ308", Loop(), X)
    assert "over 16 residual blocks" in finding.message


# -- traps ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("scale", [24**-0.5, 0.0])
def test_scaled_and_zero_start_branches_are_silent(scale):
    assert severities("SZ308", net(scale=scale), X) == []


@pytest.mark.parametrize("norm", [nn.LayerNorm, nn.BatchNorm1d, nn.RMSNorm])
def test_pre_norm_is_silent(norm):
    assert severities("SZ308", net(norm=norm), X) == []


def test_a_small_embedding_under_pre_norm_is_a_note():
    assert severities("SZ308", net(norm=nn.LayerNorm, first=Small()), X) == ["info"]


def test_post_norm_is_silent():
    assert severities("SZ308", net(after=nn.LayerNorm), X) == []


def test_one_loud_sum_that_a_norm_reads_at_once_grows_no_further():
    """A transform without a scale in place of attention, as in FNet: each block ends in a norm."""
    assert severities("SZ308", net(scale=300.0, after=nn.LayerNorm), X) == []
    assert severities("SZ308", net(blocks=1, scale=300.0), X) == ["warning"]
