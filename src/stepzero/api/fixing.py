"""Carrying out the fixes of a report, and checking again as it was checked."""

import weakref
from dataclasses import replace
from typing import Any

from torch import nn

from stepzero.api.asked import Asked, asked_for
from stepzero.core.errors import ConfigError
from stepzero.core.outcome import Report
from stepzero.core.plan import Plan
from stepzero.core.seed import checked_seed
from stepzero.probe.subject import Subject, subject_of
from stepzero.repair.fix import fix
from stepzero.repair.writable import writable


def fix_(
    model: nn.Module,
    report: Report,
    batch: Any = None,
    *,
    loss: Any = None,
    target: Any = None,
    unsafe: bool = False,
    seed: int = 0,
) -> Plan:
    """Carry out the fixes of a report on ``model``, in place, and check again.

    Args:
        model: the module that was checked, or one with the same parameters.
        report: what `check` said about it.
        batch: as in `check`; not needed for a report that `check` returned to this process.
        loss: as in `check`.
        target: as in `check`.
        unsafe: also carry out fixes that may overwrite values somebody meant.
        seed: of the draws.

    Returns:
        The `Plan`: what was written, with what was found before and after.

    Raises:
        StepzeroError: no batch is known for this report.
        IncompleteError: an error remained or appeared; every weight is as it was.
    """
    root, seed = writable(model), checked_seed(seed)
    if not isinstance(report, Report):
        raise ConfigError(f"report: expected what sz.check returned, got {type(report).__name__}")
    known, asked = _KNOWN.get(id(report)) or (None, asked_for())
    if batch is not None:
        subject = subject_of(root, batch, loss, target, seed=report.seed)
    elif known is not None:
        subject = replace(known, model=root, optimizer=None)
    else:
        raise ConfigError("fix_: no batch is known for this report; pass the batch (and the loss)")
    return fix(subject, report, lambda: _again(subject, asked), unsafe=unsafe, seed=seed)


def _again(subject: Subject, asked: Asked) -> Report:
    from stepzero.api.checking import examine  # noqa: PLC0415 - a check remembers for fix_, which checks again

    return examine(subject, replace(asked, optimizer=None, lr=None), lambda _: None)[1]


_KNOWN: dict[int, tuple[Subject, Asked]] = {}
"""What the reports that are alive are about, so that `fix_` can check again in the same way."""


def remember(report: Report, subject: Subject, asked: Asked) -> Report:
    """Keep the batch, the loss and what was asked for as long as ``report`` lives; the model is not kept."""
    _KNOWN[id(report)] = replace(subject, model=_NOTHING, factory=None, optimizer=None), asked
    weakref.finalize(report, _KNOWN.pop, id(report), None)
    return report


_NOTHING = nn.Module()
"""In the place of a model that is not kept."""
