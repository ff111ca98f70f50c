"""The width probe: the factory called at three widths, each model trained for a few steps; see `coordinates`.

Only for a factory that takes a ``width`` and has a value for it.
"""

import inspect
from collections.abc import Callable
from typing import Any

import torch
from torch import nn

from stepzero.core.coordinates import WidthFact
from stepzero.core.errors import StepzeroError
from stepzero.core.trace import Trace
from stepzero.probe.coordinates import coordinate_check
from stepzero.probe.optimizer import maker_of
from stepzero.probe.subject import Batch, Subject

ARGUMENT = "width"
_FACTORS = (1, 2, 4)
_STEPS, _SEEDS = 3, 2
_RATE = 1e-3


def base_width(factory: Callable[..., Any] | None) -> int | None:
    """The width that a factory builds unless it is told another one; None where it takes none."""
    try:
        parameter = inspect.signature(factory).parameters.get(ARGUMENT) if factory is not None else None
    except (TypeError, ValueError):
        return None
    default = parameter.default if parameter is not None else None
    return default if isinstance(default, int) and not isinstance(default, bool) and default > 0 else None


def _adam(model: nn.Module) -> torch.optim.Optimizer:
    return torch.optim.Adam(model.parameters(), lr=_RATE)


def widths(subject: Subject, trace: Trace) -> WidthFact:
    """Train at one, two and four times the width; never raises because of a model that is wider."""
    base = base_width(subject.factory)
    factory: Any = subject.factory
    if base is None or factory is None:
        return WidthFact(ran=False, reason="the factory takes no width")
    if trace.loss.origin == "surrogate":
        return WidthFact(ran=False, reason="no loss was given: there is nothing to train")
    make = maker_of(subject.made_by, trace.optimizer.lr) or _adam
    try:
        check = coordinate_check(
            lambda width: factory(width=width),
            [base * factor for factor in _FACTORS],
            optimizer=make,
            batch=Batch(subject.args, subject.kwargs),
            loss=subject.loss,
            target=subject.target,
            steps=_STEPS,
            seeds=_SEEDS,
        )
    except StepzeroError as error:
        return WidthFact(ran=False, reason=" ".join(str(error).split()))
    except Exception as error:  # noqa: BLE001 - the model ran at its own width: what another one breaks is its to tell
        return WidthFact(ran=False, reason=f"another width does not run ({type(error).__name__}: {error})")
    return WidthFact(ran=True, check=check)
