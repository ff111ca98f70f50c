"""What a deep check adds, and what a profile does."""

import re
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from stepzero import api
from stepzero.core.errors import ConfigError
from tests.probe.observing import seeded

X = seeded(12, 5, 8)


class Mixed(nn.Module):
    """Samples meet in a view, and a bias is louder than the weight."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm, self.second = nn.Linear(8, 16), nn.Linear(16, 16), nn.Linear(16, 4)
        nn.init.constant_(self.norm.bias, 3.0)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.tanh(self.norm(torch.relu(self.first(x))))
        return self.second(hidden.view(x.shape[1], x.shape[0], -1).mean(0))


def square(output: Tensor) -> Tensor:
    return (output - 1).square().mean()


def codes(*, deep: bool) -> set[str]:
    return {finding.code for finding in api.check(Mixed(), X, square, deep=deep).findings}


def test_a_deep_check_finds_what_another_does_not_look_for() -> None:
    shallow, deep = codes(deep=False), codes(deep=True)
    assert "SZ903" not in shallow
    assert shallow | {"SZ903"} <= deep


def test_redrawing_a_weight_explains_nothing_that_was_not_measured_again() -> None:
    report = api.check(Mixed(), X, square, deep=True)
    (mixing,) = [finding for finding in report.findings if finding.code == "SZ903"]
    assert len(report.root_causes) > 1
    assert mixing.root is None


@pytest.mark.parametrize(
    ("profile", "said"),
    [("rll", "no profile 'rll'; did you mean 'rl'?"), (["rl", 3], "no profile 3"), (7, "no profile 7")],
)
def test_an_odd_profile_is_told_in_one_line(profile: Any, said: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(said)):
        api.check(nn.Linear(8, 2), X, profile=profile)
