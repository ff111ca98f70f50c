"""The coordinate check: train models of several widths for a few steps and see which activations follow the width.

Under the maximal update parametrisation every activation, and every change that training makes to it, keeps its size
as the model gets wider. Source: Yang et al. 2022, arXiv 2203.03466, appendix D.
"""

import math
import numbers
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import torch
from torch import nn

from stepzero.core.coordinates import CoordinateCheck
from stepzero.core.errors import ConfigError, TargetError
from stepzero.core.limits import Limits
from stepzero.measure.coordinates import History, judged
from stepzero.measure.roundoff import unit_roundoff
from stepzero.probe import tree
from stepzero.probe.build import build
from stepzero.probe.capture import set_modes
from stepzero.probe.follow import follow
from stepzero.probe.places import Site, Taken, names_of, rms
from stepzero.probe.restore import preserved_randomness, preserved_state
from stepzero.probe.subject import Subject

WIDTHS = (64, 128, 256, 512)
_OPTIMIZER = "a function of the model such as lambda model: torch.optim.Adam(model.parameters())"

_Run = dict[Site, History]


def coordinate_check(
    factory: Callable[[int], Any],
    widths: Sequence[int] = WIDTHS,
    *,
    optimizer: Callable[[Any], Any],
    batch: Any = None,
    loss: Any = None,
    target: Any = None,
    steps: int = 4,
    seeds: int = 3,
    limits: Limits | None = None,
) -> CoordinateCheck:
    """Train models of several widths for a few steps; say which activations explode or vanish with the width.

    At each place the rms of the activation at the start, and of its change after each step, is fitted by a power of
    the width over all widths and seeds. Wrong factors give exponents of 1/2 or 1, up or down. The output may be small
    at the start, in wider models smaller; that is no alarm as long as its change is not. Of attention logits the size
    is followed that they reach once queries and keys are aligned, scale x |q| |k|: training aligns them, and models
    that are narrow against the number of samples need more steps for it than a check should take.

    Args:
        factory: called with a width; returns a model, ``(model, batch)`` or ``(model, batch, loss)``. Shapes of batch
            and output must not depend on the width. The global random generators are seeded for each call.
        widths: three or more, each at least the one of the base model.
        optimizer: called with a model, returns its optimizer, for example
            ``lambda model: torch.optim.Adam(model.parameters(), lr=1e-3)``.
        batch: as in `check`; the same one is used at every step. Wins over the factory's.
        loss: as in `check`. Wins over the factory's.
        target: what the loss compares with.
        steps: optimizer steps, 1 or more. A zero readout needs two before anything below it moves.
        seeds: models at each width.
        limits: other limits than the shipped ones.

    Returns:
        A verdict for every place, with slope and interval, and one sentence for the whole.

    Raises:
        StepzeroError: the widths do not make a line, or the narrowest model does not stay finite.
    """
    ordered = _widths(factory, widths, optimizer)
    if len(ordered) < 3 or not _is_count(steps) or not _is_count(seeds):
        raise ConfigError(
            "coordinate_check: expected three different widths or more, and steps and seeds of 1 or more, "
            f"got widths {tuple(ordered)}, steps {steps!r}, seeds {seeds!r}"
        )
    chosen, name = limits or Limits(), ""
    runs: dict[tuple[int, int], _Run] = {}
    for width in ordered:
        for seed in range(seeds):
            subject = build(partial(factory, width), batch, loss, target, seed=seed)
            name, runs[width, seed] = _followed(subject, optimizer, steps, chosen)
    _refuse_divergence(runs, ordered[0])
    shared = [site for site in next(iter(runs.values())) if all(site in run for run in runs.values())]
    known = dict.fromkeys(site for run in runs.values() for site in run)
    named = names_of(list(known))
    return CoordinateCheck(
        widths=tuple(ordered),
        steps=steps,
        seeds=seeds,
        optimizer=name,
        places=tuple(
            judged(named[site], site.kind, {key: run[site] for key, run in runs.items()}, chosen) for site in shared
        ),
        skipped=tuple((named[site], "not there at every width") for site in known if site not in set(shared)),
    )


def _widths(factory: Any, widths: Any, optimizer: Any) -> list[int]:
    """Each width once, in order; the kinds of the other arguments are looked at before anything is built."""
    for name, value, what in (("factory", factory, "a function of the width"), ("optimizer", optimizer, _OPTIMIZER)):
        if not callable(value) or isinstance(value, nn.Module | torch.optim.Optimizer):
            raise ConfigError(f"{name}: expected {what}, got {type(value).__name__}")
    given = tuple(widths) if isinstance(widths, Iterable) else (widths,)
    if not all(_is_count(width) for width in given):
        raise ConfigError(f"widths: expected whole numbers such as {WIDTHS}, got {widths!r}")
    return sorted({int(width) for width in given})


def _is_count(value: Any) -> bool:
    return not isinstance(value, bool) and isinstance(value, numbers.Integral) and int(value) >= 1


def _followed(subject: Subject, optimizer: Callable[[Any], Any], steps: int, limits: Limits) -> tuple[str, _Run]:
    """Train the subject's own model; name of the optimizer, and sizes by place."""
    made = optimizer(subject.model)
    if not callable(getattr(made, "step", None)) or not callable(getattr(made, "zero_grad", None)):
        raise TargetError(
            f"optimizer: expected a function of the model that returns a torch.optim.Optimizer, got "
            f"{type(made).__name__} from it; pass for example lambda model: torch.optim.Adam(model.parameters())"
        )
    with preserved_randomness(), preserved_state():
        set_modes(subject.model)
        born = {name: each.detach().clone() for name, each in tree.parameters(subject.model)}
        start: dict[Site, Taken] = {}
        run: _Run = {}
        for step in range(steps + 1):
            made.zero_grad()
            loss, seen = follow(subject)
            start = start or seen
            moved = {name: rms((each.detach() - born[name]).double()) for name, each in tree.parameters(subject.model)}
            for site in start.keys() & seen.keys():
                _note(run.setdefault(site, History()), start[site], seen[site], moved, limits)
            if step < steps:
                loss.backward()
                made.step()
    return type(made).__name__, {site: run[site] for site in start if len(run[site].sizes) == steps + 1}


def _note(history: History, start: Taken, seen: Taken, moved: dict[str, float], limits: Limits) -> None:
    """Add one step: the size at the start, the change since then later; of logits the size at each step."""
    if seen.sample is None or start.sample is None:
        history.sizes.append(seen.reach or 0.0)
        return
    if not history.sizes:
        history.sizes.append(rms(seen.sample))
    elif start.sample.shape == seen.sample.shape:
        change = rms(seen.sample - start.sample)
        # A part that is not trained may differ in its last digits from pass to pass, which follows no law.
        is_rounding = change <= limits.coordinate_roundoffs * unit_roundoff("float32") * history.sizes[0]
        history.sizes.append(0.0 if is_rounding else change)
    if seen.reach is not None and seen.parameter in moved:
        history.reach.append(seen.reach * moved[seen.parameter])


def _refuse_divergence(runs: dict[tuple[int, int], _Run], narrowest: int) -> None:
    own = (run for (width, _), run in runs.items() if width == narrowest)
    if not all(math.isfinite(size) for run in own for history in run.values() for size in history.sizes):
        raise TargetError(
            f"coordinate_check: the model of width {narrowest} does not stay finite for these steps; "
            "lower the learning rate, or mend the model at that width first"
        )
