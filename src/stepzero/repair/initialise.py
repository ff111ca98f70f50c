"""`init_`: a sound start for a whole model, and the Plan that says what was written where and why."""

import fnmatch
import platform
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined] # torch exports it, its stubs do not

from stepzero import schemes
from stepzero.core.errors import ConfigError, IncompleteError, TargetError, did_you_mean
from stepzero.core.plan import Entry, Plan
from stepzero.core.seed import checked_seed
from stepzero.core.version import VERSION
from stepzero.probe import tree
from stepzero.probe.subject import Subject, subject_of
from stepzero.repair import apply, done, heads, offline, planning
from stepzero.repair.materialise import materialise, still_unwritten
from stepzero.repair.observe import forward, observe
from stepzero.repair.shared import decided, shared
from stepzero.repair.writable import writable

AUTO = "auto"


class _Asked(NamedTuple):
    """What the user wants of the Plan."""

    scheme: str
    seed: int
    keep: tuple[str, ...]


def init_(
    model: nn.Module,
    batch: Any = None,
    *,
    loss: Any = None,
    target: Any = None,
    scheme: str = AUTO,
    seed: int = 0,
    keep: str | Iterable[str] = (),
    dry_run: bool = False,
    force: bool = False,
) -> Plan:
    """Write a sound start into ``model``, in place, and return the Plan that was carried out.

    Every parameter is drawn once, by the law that the operations reading it ask for (true fans, gain of the
    activation that feeds it), from a random stream of its own, keyed by its name: inserting or moving a layer does
    not change the others. Residual branches are scaled by their number. With a batch, weights are then calibrated
    in one forward pass, so that outputs have the scale they should have on this data, and a second pass verifies it.
    Intended zeros, ties, frozen tensors and what ``keep`` names are left as they are, each with its reason.

    Args:
        model: any `torch.nn.Module`; parameters on the meta device are given memory first (on the CPU).
        batch: as in `check`; without one only torch's own modules are understood, and nothing is calibrated.
        loss: as in `check`; it tells the head.
        target: as in `check`; with it the head's bias starts at the best constant guess.
        scheme: ``"auto"``, or the name of a scheme (`sz.schemes.names()`) for all weights, without calibration.
        seed: of every draw; no global random state is read or changed.
        keep: pattern of parameter names to leave alone (``"encoder.*"``), or several.
        dry_run: return the same Plan and leave the model as it is.
        force: draw again although the model has been trained or changed since the last call, or `mup_` wrote its
            start. A model that has not changed is drawn again, to the same bits.

    Returns:
        The Plan: an entry for every parameter and buffer, the factors of calibration, what was skipped and why.

    Raises:
        StepzeroError: the model or batch cannot be used, or the model was changed since the last call.
        IncompleteError: the verifying pass did not agree; the model is as it was.
    """
    root = writable(model)
    asked = _Asked(_scheme(scheme), checked_seed(seed), _patterns(root, keep))
    if not force:
        done.refuse(root)
    if batch is not None:
        _refuse_lazy(root)
    fresh, put_back = materialise(root)
    with ExitStack() as stack:
        stack.callback(put_back)
        undo = stack.enter_context(apply.Undo(root))
        plan = _carried_out(root, batch, loss, target, asked)
        _refuse_unwritten(root, fresh)
        if not dry_run:
            undo.forget()
            stack.pop_all()
            done.note(root, "init_")
    return replace(plan, is_dry_run=dry_run, notes=plan.notes + _idle(plan))


def _scheme(scheme: Any) -> str:
    if scheme == AUTO or (isinstance(scheme, str) and scheme in schemes.names()):
        return str(scheme)
    told = did_you_mean(scheme, schemes.names()) if isinstance(scheme, str) else ""
    raise ConfigError(f"scheme: no scheme {scheme!r}{told}; see sz.schemes.names()")


def _patterns(model: nn.Module, keep: Any) -> tuple[str, ...]:
    """One pattern or several; each must keep something."""
    globs = (keep,) if isinstance(keep, str) else tuple(keep) if isinstance(keep, Iterable) else (keep,)
    names = [name for name, _ in tree.parameters(model)]
    for glob in globs:
        if not isinstance(glob, str):
            raise ConfigError(f"keep: expected patterns of parameter names, as in 'encoder.*', got {glob!r}")
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            raise ConfigError(f"keep: {glob!r} matches no parameter{did_you_mean(glob, names)}")
    return globs


def _idle(plan: Plan) -> tuple[str, ...]:
    """A word where nothing was written: nobody should take that for a start."""
    parameters = [entry for entry in plan.entries if entry.role != "buffer"]
    if not parameters:
        return ("the model has no parameters: there is nothing to initialise",)
    if any(entry.action in ("drawn", "set") for entry in parameters):
        return ()
    return (f"no parameter was written; of the first, {parameters[0].name}: {parameters[0].why}",)


def _refuse_lazy(model: nn.Module) -> None:
    lazy = [name for name, tensor in tree.parameters(model) if isinstance(tensor, UninitializedTensorMixin)]
    if lazy:
        raise TargetError(f"model: {lazy[0]} is lazy and has no shape yet; run the model on one batch first")


def _refuse_unwritten(model: nn.Module, fresh: tuple[str, ...]) -> None:
    if left := still_unwritten(model, fresh):
        raise IncompleteError(
            f"model: nobody wrote {', '.join(left[:3])}{' ...' if len(left) > 3 else ''} once it had memory; "
            "build the model on a real device, or give its module a reset_parameters method"
        )


def _carried_out(model: nn.Module, batch: Any, loss: Any, target: Any, asked: _Asked) -> Plan:
    versions = {"stepzero": VERSION, "torch": str(torch.__version__), "python": platform.python_version()}
    empty = Plan(type(model).__name__, asked.seed, asked.scheme, versions=versions)
    if batch is None:
        return _without_batch(model, empty, asked)
    return _with_batch(subject_of(model, batch, loss, target, seed=asked.seed), empty, asked)


def _without_batch(model: nn.Module, empty: Plan, asked: _Asked) -> Plan:
    planned = decided(offline.entries(model, asked.keep), shared(model))
    notes = ("no batch: laws from torch's own modules alone, and nothing was calibrated",)
    plan = replace(empty, entries=_with_scheme(planned, asked.scheme), notes=notes)
    apply.draw(model, plan, None)
    return plan


def _with_batch(subject: Subject, empty: Plan, asked: _Asked) -> Plan:
    seen, meant = observe(subject)
    found = planning.layout(seen)
    planned = heads.with_prior(planning.entries(found, meant, asked.keep), seen, subject.target)
    planned = decided(planned, shared(subject.model))
    notes = (*subject.notes, *_faulty_inputs(subject))
    plan = replace(empty, entries=_with_scheme(planned, asked.scheme), notes=notes)
    inputs = [tensor for _, tensor in subject.named_inputs() if tensor.is_floating_point()]
    apply.draw(subject.model, plan, inputs[0] if inputs else None)
    if asked.scheme != AUTO:
        return plan
    wanted = planning.targets(found, planned)
    return apply.calibrated(subject.model, plan, lambda: forward(subject), wanted)


def _faulty_inputs(subject: Subject) -> Iterator[str]:
    for name, tensor in subject.named_inputs():
        is_read = tensor.is_floating_point() and not tensor.is_meta and tensor.layout == torch.strided
        if is_read and (count := int((~torch.isfinite(tensor)).sum())):
            told = f"{count} of {tensor.numel()} numbers in {name!r} are NaN or infinite"
            yield f"batch: {told}, so what they reach could not be calibrated; clean the data, or pass another batch"


def _with_scheme(planned: tuple[Entry, ...], scheme: str) -> tuple[Entry, ...]:
    """One named scheme for every weight; tables keep their own law, which has no fan."""
    if scheme == AUTO:
        return planned
    return tuple(
        replace(entry, scheme=scheme, why=f"asked for: scheme={scheme!r}", std=None)
        if entry.action == "drawn" and entry.role != "table"
        else entry
        for entry in planned
    )
