"""`init_`: a sound start for a whole model, and the Plan that says what was written where and why."""

import fnmatch
import platform
import weakref
from collections.abc import Iterable
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined] # torch exports it, its stubs do not

from stepzero import schemes
from stepzero.core.errors import ConfigError, IncompleteError, TargetError, did_you_mean
from stepzero.core.plan import Entry, Plan
from stepzero.core.version import VERSION
from stepzero.probe import tree
from stepzero.probe.subject import subject_of, unwrapped
from stepzero.repair import apply, heads, offline, planning
from stepzero.repair.materialise import materialise, still_unwritten
from stepzero.repair.observe import forward, observe

AUTO = "auto"

Asked = tuple[int, str, int, tuple[str, ...]]
"""Identity of the batch, scheme, seed, patterns to keep."""
Versions = tuple[tuple[int, int, float], ...]

_DONE: "weakref.WeakKeyDictionary[nn.Module, tuple[Asked, Versions, Plan]]" = weakref.WeakKeyDictionary()
"""What was done to which model: a second call must not do it twice."""


def init_(
    model: nn.Module,
    batch: Any = None,
    *,
    loss: Any = None,
    target: Any = None,
    scheme: str = AUTO,
    seed: int = 0,
    keep: Iterable[str] = (),
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
        keep: patterns of parameter names to leave alone (``"encoder.*"``).
        dry_run: return the same Plan and leave the model as it is.
        force: draw again although the model has been trained or changed since the last call.

    Returns:
        The Plan: an entry for every parameter and buffer, the factors of calibration, what was skipped and why.

    Raises:
        StepzeroError: the model or batch cannot be used, or the model was changed since the last call.
        IncompleteError: the verifying pass did not agree; the model is as it was.
    """
    if not isinstance(model, nn.Module):
        raise TargetError(f"model: expected a torch.nn.Module, got {type(model).__name__}; pass the module itself")
    if scheme != AUTO and scheme not in schemes.names():
        raise ConfigError(
            f"scheme: no scheme {scheme!r}{did_you_mean(scheme, schemes.names())}; see sz.schemes.names()"
        )
    root = unwrapped(model)
    kept = tuple(keep)
    _refuse_idle_patterns(root, kept)
    asked = (id(batch), scheme, seed, kept)
    done = _DONE.get(root)
    if done is not None and done[1] != _versions(root) and not force:
        raise TargetError(
            "model: it was initialised before and its weights have changed since (trained or loaded?); "
            "pass force=True to draw them again"
        )
    if done is not None and done[0] == asked and not force and not dry_run:
        return done[2]
    if batch is not None:
        _refuse_lazy(root)
    fresh, put_back = materialise(root)
    with ExitStack() as stack:
        stack.callback(put_back)
        undo = stack.enter_context(apply.Undo(root))
        plan = _carried_out(root, batch, loss, target, asked)
        if left := still_unwritten(root, fresh):
            raise IncompleteError(
                f"model: nobody wrote {', '.join(left[:3])}{' ...' if len(left) > 3 else ''} once it had memory; "
                "build the model on a real device, or give its module a reset_parameters method"
            )
        if not dry_run:
            undo.forget()
            stack.pop_all()
            _DONE[root] = (asked, _versions(root), plan)
    return replace(plan, is_dry_run=dry_run)


def _versions(model: nn.Module) -> Versions:
    """Identity, number of writes and sum of every parameter; a write through ``.data`` is not counted, but felt."""
    return tuple((id(tensor), tensor._version, _sum(tensor)) for _, tensor in tree.once(tree.parameters(model)))


def _sum(tensor: Tensor) -> float:
    if isinstance(tensor, UninitializedTensorMixin) or tensor.is_meta or tensor.is_complex():
        return 0.0
    return float(tensor.detach().double().sum())


def _refuse_idle_patterns(model: nn.Module, keep: Iterable[str]) -> None:
    names = [name for name, _ in tree.parameters(model)]
    for glob in keep:
        if not any(fnmatch.fnmatchcase(name, glob) for name in names):
            raise ConfigError(f"keep: {glob!r} matches no parameter{did_you_mean(glob, names)}")


def _refuse_lazy(model: nn.Module) -> None:
    lazy = [name for name, tensor in tree.parameters(model) if isinstance(tensor, UninitializedTensorMixin)]
    if lazy:
        raise TargetError(f"model: {lazy[0]} is lazy and has no shape yet; run the model on one batch first")


def _carried_out(model: nn.Module, batch: Any, loss: Any, target: Any, asked: Asked) -> Plan:
    _, scheme, seed, keep = asked
    versions = {"stepzero": VERSION, "torch": str(torch.__version__), "python": platform.python_version()}
    empty = Plan(type(model).__name__, seed, scheme, versions=versions)
    if batch is None:
        notes = ("no batch: laws from torch's own modules alone, and nothing was calibrated",)
        plan = replace(empty, entries=_with_scheme(offline.entries(model, keep), scheme), notes=notes)
        apply.draw(model, plan, None)
        return plan
    subject = subject_of(model, batch, loss, target, seed=seed)
    seen, meant = observe(subject)
    found = planning.layout(seen)
    planned = planning.entries(found, meant, keep)
    planned = heads.with_prior(planned, seen, subject.target)
    plan = replace(empty, entries=_with_scheme(planned, scheme), notes=tuple(subject.notes))
    inputs = [tensor for _, tensor in subject.named_inputs() if tensor.is_floating_point()]
    apply.draw(model, plan, inputs[0] if inputs else None)
    if scheme != AUTO:
        return plan
    wanted = planning.targets(found, planned)
    return apply.calibrated(model, plan, lambda: forward(subject), wanted)


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
