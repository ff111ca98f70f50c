"""What nothing can be written to is refused in one line, by every verb that writes."""

import pytest
import torch
from torch import nn

import stepzero as sz
from stepzero.core.errors import TargetError
from stepzero.repair.writable import writable

X = torch.ones(4, 3)


def born_in_inference():
    with torch.inference_mode():
        return nn.Linear(3, 2)


WRONG = [
    (lambda: None, "got NoneType"),
    (lambda: nn.Linear, "got type"),
    (lambda: torch.jit.script(nn.Linear(3, 2)), "got TorchScript"),
    (born_in_inference, "weight was made in inference mode"),
]


def test_wrappers_are_taken_off():
    model = nn.Linear(3, 2)
    assert writable(nn.DataParallel(model)) is model
    assert writable(torch.compile(model)) is model


@pytest.mark.parametrize(("make", "told"), WRONG)
@pytest.mark.parametrize(
    "call",
    [
        sz.init_,
        lambda model: sz.init_(model, X),
        lambda model: sz.mup_(model, nn.Linear(3, 2), X, lr=0.1),
        lambda model: sz.fix_(model, sz.check(nn.Linear(3, 2), X)),
    ],
)
def test_what_cannot_be_written_is_told(make, told, call):
    with pytest.raises(TargetError, match=told) as caught:
        call(make())
    assert "\n" not in str(caught.value)
