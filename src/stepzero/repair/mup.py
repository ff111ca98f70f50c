"""`mup_`: the maximal update parametrisation, so that learning rates found on a narrow model hold for a wide one.

r is the width over the base width, told for each parameter from its shapes in both models and from the roles that its
axes play in the operations that read it. Against the base model (Yang et al. 2022, arXiv 2203.03466, table 8, and
table 3 where the readout has no multiplier; initialisation notes, section 1.4):

| role | deviation | Adam | SGD | multiplier |
|---|---|---|---|---|
| input weight, bias, norm | 1 | 1 | r | 1 |
| hidden matrix | r^(-1/2) | 1 / r | 1 | 1 |
| readout | 1 | 1 | r | 1 / r, in the forward of the model |
| readout without its multiplier | 1 / r | 1 / r | 1 / r | 1 |

The last two rows are one model: W = a V with a constant a trains like V when the deviation of W is a times that of V
and its learning rate a times (Adam) or a^2 times (SGD). A multiplier that is there in part is completed in that way.
"""

import copy
import math
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any, Literal

from torch import nn

from stepzero.core.errors import ConfigError, TargetError
from stepzero.core.limits import Limits
from stepzero.core.plan import Entry, Plan
from stepzero.core.seed import checked_seed
from stepzero.core.trace import Trace
from stepzero.measure import idioms
from stepzero.probe import tree
from stepzero.probe.build import build
from stepzero.probe.capture import capture
from stepzero.probe.follow import follow
from stepzero.probe.places import Site, Taken
from stepzero.probe.restore import preserved_randomness, preserved_state
from stepzero.probe.subject import Subject, subject_of, unwrapped
from stepzero.repair import apply, done, planning
from stepzero.repair.growth import Growth, growth
from stepzero.repair.writable import writable
from stepzero.schemes.width import Factors, Optimizer, mup

SOURCE = "2203.03466"
_EXACT = 0.01
"""A multiplier this near to 1 / r, relatively, is 1 / r: factors are read from a float32 pass."""

_NORMALISED = frozenset("adam adamw adamax nadam radam sparseadam rmsprop adagrad lion".split())
"""Optimizers whose step does not depend on the size of the gradient, nor on that of the weight."""


def mup_(
    model: nn.Module,
    base: nn.Module | Callable[[], Any],
    batch: Any,
    *,
    optimizer: str = "adam",
    lr: float,
    weight_decay: float = 0.0,
    decay: Literal["coupled", "decoupled"] = "coupled",
    seed: int = 0,
    loss: Any = None,
    target: Any = None,
) -> tuple[Plan, list[dict[str, Any]]]:
    """Start ``model`` by the maximal update parametrisation, in place; return the Plan and parameter groups.

    Every weight is drawn as `init_` would draw it in the base model, times the factor of its role; nothing is
    calibrated, since that would undo the law. Readouts belong multiplied by 1 / r in the forward of the model; where
    that is missing the equivalent factors go into deviation and learning rate, and a note says so. Attention logits
    belong scaled by 1 / d_head. `coordinate_check` tells whether the result holds.

    Args:
        model: as in `init_`.
        base: the same model at the width where ``lr`` was found, or a factory without arguments that returns it. It
            is not changed.
        batch: as in `check`; both models must run on it.
        optimizer: ``"adam"`` for all that normalise the gradient, by any of their names (``"adamw"``, ``"lion"``),
            ``"sgd"`` for those that do not.
        lr: learning rate of the base model.
        weight_decay: of the base model.
        decay: ``coupled`` when the optimizer multiplies the decay by the learning rate, as torch's do (AdamW too):
            their product is kept. ``decoupled`` when it does not: the decay is the same for all.
        seed: of every draw; no global random state is read or changed.
        loss: as in `check`; it tells the head.
        target: as in `check`.

    Returns:
        The Plan that was carried out, and one group a role and learning rate, for the optimizer:
        ``torch.optim.Adam(groups)``. Beside ``params``, ``lr`` and ``weight_decay`` a group has its ``role``.

    Raises:
        StepzeroError: the models do not have the same parameters, or this was done to ``model`` before.
    """
    root, kind, seed = writable(model), _kind(optimizer), checked_seed(seed)
    _refuse(root, lr, weight_decay, decay)
    wide = subject_of(root, batch, loss, target, seed=seed)
    narrow = _base(base, batch, loss, target, seed)
    seen, base_seen = capture(wide), capture(narrow)
    grown = growth(seen, base_seen)
    found, base_found = _followed(wide), _followed(narrow)
    left = {name: _left(name, each, found, base_found) for name, each in grown.items()}
    factors = {name: _factors(each, kind, left[name]) for name, each in grown.items()}
    plan = Plan(type(root).__name__, seed, "mup", notes=tuple(_notes(grown, left, found)))
    plan = replace(plan, entries=_entries(seen, base_seen, grown, factors))
    inputs = [tensor for _, tensor in wide.named_inputs() if tensor.is_floating_point()]
    with apply.Undo(root) as undo:
        apply.draw(root, plan, inputs[0] if inputs else None)
        undo.forget()
    done.note(root, "mup_")
    return plan, _groups(root, grown, factors, lr, weight_decay if decay == "decoupled" else (weight_decay,))


def _base(base: Any, batch: Any, loss: Any, target: Any, seed: int) -> Subject:
    """The base model, in a copy that is not the user's."""
    if isinstance(base, nn.Module):
        return subject_of(copy.deepcopy(unwrapped(base)), batch, loss, target, seed=seed)
    if not callable(base):
        raise TargetError(f"base: expected a torch.nn.Module or a factory of one, got {type(base).__name__}")
    return build(base, batch, loss, target, seed=seed)


def _refuse(model: nn.Module, lr: float, weight_decay: float, decay: str) -> None:
    if done.by(model) == "mup_":  # it would take the first one's start for the model's own
        raise TargetError("model: mup_ was applied to it before; build it anew to do so again")
    if not all(isinstance(each, int | float) and not isinstance(each, bool) for each in (lr, weight_decay)):
        raise ConfigError(f"expected numbers as lr and weight_decay, got {lr!r} and {weight_decay!r}")
    if not (math.isfinite(lr) and lr > 0 and math.isfinite(weight_decay) and weight_decay >= 0):
        raise ConfigError(f"expected a positive lr and a weight_decay of 0 or more, got {lr:g} and {weight_decay:g}")
    if decay not in ("coupled", "decoupled"):
        raise ConfigError(f"decay: expected 'coupled' or 'decoupled', got {decay!r}")


def _kind(optimizer: Any) -> Optimizer:
    name = optimizer.lower() if isinstance(optimizer, str) else ""
    if name in _NORMALISED or name == "sgd":
        return "sgd" if name == "sgd" else "adam"
    raise ConfigError(
        f"optimizer: expected 'adam' (or {', '.join(sorted(_NORMALISED - {'adam'}))}) or 'sgd', got {optimizer!r}"
    )


def _followed(subject: Subject) -> dict[Site, Taken]:
    with preserved_randomness(), preserved_state(), apply.Undo(subject.model):
        return follow(subject)[1]


def _left(name: str, grown: Growth, found: dict[Site, Taken], base: dict[Site, Taken]) -> float:
    """How much of 1 / r the forward leaves to be done: 1 when its multiplier is there, r when it is missing."""
    is_readout = grown.role == "readout" or grown.is_tied
    seen, other = (next((t.multiplier for s, t in each.items() if _reads(s, t, name)), None) for each in (found, base))
    if not is_readout or seen is None or not other:
        return grown.fan_in if grown.role == "readout" else 1.0
    ratio = grown.width
    left = ratio * seen / other
    return 1.0 if abs(left - 1) < _EXACT else ratio if abs(left / ratio - 1) < _EXACT else left


def _reads(site: Site, taken: Taken, name: str) -> bool:
    return taken.parameter == name and not site.name.startswith("embedding")


def _factors(grown: Growth, optimizer: Optimizer, left: float) -> Factors:
    ratio = grown.fan_in if grown.role in ("hidden", "readout") else grown.fan_out
    std, lr, multiplier, _ = mup(grown.role, ratio, optimizer=optimizer)
    is_adam = optimizer == "adam"
    if grown.role == "hidden" and not is_adam:
        lr *= grown.fan_out / grown.fan_in  # one step moves the output by lr x fan-in / fan-out
    if grown.role == "readout":
        std, lr = std / left, lr / (left if is_adam else left**2)
    return Factors(std, lr, multiplier, 1 / lr)


def _entries(seen: Trace, base: Trace, grown: dict[str, Growth], factors: dict[str, Factors]) -> tuple[Entry, ...]:
    """The laws of the base model, times the factors; zeros, ties and frozen tensors are kept as in `init_`."""
    own, narrow = (
        planning.entries(planning.layout(trace), idioms.accepted(trace, Limits()), ()) for trace in (seen, base)
    )
    at_base = {entry.name: entry.std for entry in narrow if entry.action == "drawn"}
    return tuple(
        _entry(entry, grown[entry.name], factors[entry.name], at_base.get(entry.name))
        if entry.action == "drawn" and entry.name in grown and entry.std is not None
        else entry
        for entry in own
    )


def _entry(entry: Entry, grown: Growth, factors: Factors, at_base: float | None) -> Entry:
    law = at_base if at_base is not None else (entry.std or 0.0) * math.sqrt(grown.fan_in)
    told = f"{grown.role}, fan-in x {grown.fan_in:g}: deviation x {factors.std:.3g}, learning rate x {factors.lr:.3g}"
    scheme = entry.scheme if entry.role in ("table", "recurrent") else "constant_std"
    return replace(entry, scheme=scheme, source=SOURCE, gain=None, std=law * factors.std, why=f"{told}; {entry.why}")


def _notes(grown: dict[str, Growth], left: dict[str, float], found: dict[Site, Taken]) -> Iterable[str]:
    for name, each in grown.items():
        if each.is_tied and left[name] != 1:
            yield (
                f"{name}: readout and lookup table in one, which no deviation can make right; multiply its output by "
                f"1 / {each.width:g} in the forward"
            )
        elif each.role == "readout" and left[name] != 1:
            yield (
                f"{name}: its output is not multiplied by 1 / {each.fan_in:g}; deviation and learning rate carry the "
                f"missing 1 / {left[name]:g} (table 3 of {SOURCE} in place of table 8)"
            )
    places = sorted({site.module or "the model" for site in found if site.kind == "logits"})
    if places:
        named = ", ".join(places[:3]) + " ..." * (len(places) > 3)
        yield f"attention logits in {named}: where heads get wider, scale by 1 / d_head"


def _groups(
    model: nn.Module,
    grown: dict[str, Growth],
    factors: dict[str, Factors],
    lr: float,
    weight_decay: float | tuple[float],
) -> list[dict[str, Any]]:
    """Parameters that take a gradient, by role and factors; a decay in a tuple keeps its product with the rate."""
    groups: dict[tuple[str, float], dict[str, Any]] = {}
    for name, parameter in tree.once(tree.parameters(model)):
        if not parameter.requires_grad:
            continue
        role = grown[name].role if name in grown else "vector"
        scale = factors[name] if name in factors else Factors(1.0, 1.0, 1.0, 1.0)
        kept = weight_decay[0] * scale.weight_decay if isinstance(weight_decay, tuple) else weight_decay
        fresh = {"params": [], "lr": lr * scale.lr, "weight_decay": kept, "role": role}
        groups.setdefault((role, scale.lr), fresh)["params"].append(parameter)
    return list(groups.values())
