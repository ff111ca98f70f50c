"""A model that draws from a stream of its own draws the same after a check as it would have without one."""

import random

import numpy as np
import torch
from torch import Tensor, nn

import stepzero
from stepzero.probe.streams import kept_streams


class Noisy(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.line = nn.Linear(4, 4)
        self.streams()

    def streams(self) -> None:
        self.torch_stream = torch.Generator().manual_seed(1)
        self.python_stream = random.Random(2)
        self.new_stream, self.old_stream = np.random.default_rng(3), np.random.RandomState(4)

    def drawn(self) -> list[float]:
        return [
            float(torch.rand((), generator=self.torch_stream)),
            self.python_stream.random(),
            float(self.new_stream.random()),
            float(self.old_stream.random_sample()),
        ]

    def forward(self, x: Tensor) -> Tensor:
        return self.line(x) + sum(self.drawn())


def test_a_check_uses_up_no_draws() -> None:
    model, untouched = Noisy(), Noisy()
    stepzero.check(model, torch.randn(8, 4), lambda output: output.square().mean())
    assert model.drawn() == untouched.drawn()


def test_every_kind_is_put_back() -> None:
    model = Noisy()
    restores = kept_streams(vars(model).values())
    first = model.drawn()
    for restore in restores:
        restore()
    assert len(restores) == 4
    assert model.drawn() == first


def test_modules_without_streams_cost_nothing() -> None:
    assert kept_streams(vars(nn.Linear(2, 2)).values()) == []
