import pytest
import torch
from torch import nn

import stepzero
from stepzero.core.trace import Trace
from stepzero.measure.targets import binaries, place, regressions
from tests.rules.ask import generator

X = torch.randn(40, 6, generator=generator(1))
Y = 3 + 2 * torch.randn(40, 2, generator=generator(2))


def test_numbers_are_those_of_target_and_output():
    model = nn.Linear(6, 2)
    found = stepzero.trace(model, X, "mse", Y)
    (aim,) = regressions(found)
    out = model(X).detach()
    assert (aim.low, aim.high, aim.samples) == (float(Y.min()), float(Y.max()), 40)
    assert aim.mean == pytest.approx(float(Y.mean()))
    assert aim.std == pytest.approx(float(Y.std(correction=0)))
    assert (aim.output_mean, aim.output_std) == pytest.approx((float(out.mean()), float(out.std(correction=0))))
    assert place(found, aim.loss) == ("weight",)
    assert not aim.is_share
    assert list(binaries(found)) == []


def test_they_survive_json():
    found = stepzero.trace(nn.Linear(6, 2), X, "bce_with_logits", (Y > 3).float())
    assert list(binaries(Trace.from_json(found.to_json()))) == list(binaries(found)) != []
