"""What a torch optimizer says about the first updates."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

from stepzero.core.errors import TargetError
from stepzero.core.optimizer import GroupFact, OptimizerFact
from stepzero.probe.restore import preserved_randomness

_ADAPTIVE = frozenset(
    "adam adamw adamax nadam radam sparseadam rmsprop adagrad adadelta adafactor lion lamb rprop adabelief".split()
)
_DECOUPLED = frozenset("adamw lion adafactor lamb muon".split())


def made_for(optimizer: Any, model: nn.Module) -> Any:
    """The optimizer itself: a function of the model is called, everything else is returned as it came."""
    if isinstance(optimizer, str | type) or not callable(optimizer) or hasattr(optimizer, "param_groups"):
        return optimizer
    with preserved_randomness():
        made = optimizer(model)
    if not isinstance(getattr(made, "param_groups", None), list):
        raise TargetError(
            f"optimizer: expected a function of the model that returns a torch.optim.Optimizer, got "
            f"{type(made).__name__} from it; pass for example lambda model: torch.optim.Adam(model.parameters())"
        )
    return made


def maker_of(told: Any, rate: float | None) -> Callable[[nn.Module], Any] | None:
    """A function that makes such an optimizer for other models; None for an instance, or where no rate is known."""
    if isinstance(told, str | type):
        kind = told if isinstance(told, type) else named(told)
        return None if kind is None or rate is None else lambda model: kind(list(model.parameters()), lr=rate)
    return told if callable(told) and not hasattr(told, "param_groups") else None


def named(name: str) -> Any:
    """The class of torch.optim with this name, in whatever case; None when there is none."""
    kinds = {each.__name__.lower(): each for each in vars(torch.optim).values() if isinstance(each, type)}
    return kinds.get(name.lower())


def optimizer_fact(
    optimizer: Any, lr: float | None, model: nn.Module | None = None, *, is_built: bool = False
) -> OptimizerFact:
    """Read an optimizer instance or name; raises `TargetError` for anything else.

    With the ``model`` it was made for, parameters that learn at a rate of their own are named, and those it lacks.
    ``is_built``: the model was made by a factory just now, so that no optimizer from outside can hold it.
    """
    if optimizer is None:
        return OptimizerFact(lr=lr)
    if isinstance(optimizer, str | type):
        name, group = optimizer if isinstance(optimizer, str) else optimizer.__name__, {}
    elif isinstance(getattr(optimizer, "param_groups", None), list) and optimizer.param_groups:
        name, group = type(optimizer).__name__, optimizer.param_groups[0]
    else:
        raise TargetError(
            f"optimizer: expected a torch.optim.Optimizer, its class or its name, got {type(optimizer).__name__}; "
            "pass for example torch.optim.Adam(model.parameters())"
        )
    kind = name.lower()
    decay = float(group.get("weight_decay", 0.0) or 0.0)
    is_coupled = kind not in _DECOUPLED and not group.get("decoupled_weight_decay", False)
    rate = lr if lr is not None else group.get("lr")
    eps = group.get("eps")
    return OptimizerFact(
        name=name,
        lr=float(rate) if isinstance(rate, int | float) else None,
        eps=float(eps) if isinstance(eps, int | float) else None,
        is_adaptive=kind in _ADAPTIVE,
        coupled_decay=decay if is_coupled else 0.0,
        rates=tuple(_rates(optimizer, model, rate)) if group and model is not None else (),
        groups=_groups(optimizer, model, is_built=is_built) if group and model is not None else None,
    )


def _groups(optimizer: Any, model: nn.Module, *, is_built: bool) -> GroupFact:
    """Who is held, who is left out; read once a parameter, without looking at its values."""
    listed = [each for group in optimizer.param_groups for each in group["params"]]
    counts = Counter(map(id, listed))
    named = list(model.named_parameters())
    own = {id(each) for _, each in named}
    foreign = [each for each in listed if id(each) not in own]
    held = sum(each in counts for each in own)
    missing = [(name, each) for name, each in named if each.requires_grad and id(each) not in counts]
    return GroupFact(
        held=held,
        missing=tuple(name for name, _ in missing),
        idle=tuple(name for name, each in named if id(each) in counts and not each.requires_grad),
        twice=tuple(name for name, each in named if counts[id(each)] > 1),
        foreign=len(foreign),
        are_masters=_are_masters(foreign, [each for _, each in missing]),
        is_of_another_build=is_built and not held,
    )


def _are_masters(foreign: list[Tensor], missing: list[Tensor]) -> bool:
    """Whether the strangers could be wider copies of what is missing, which mixed precision steps in its place."""
    narrow = [each for each in missing if each.is_floating_point() and each.element_size() < torch.finfo().bits // 8]
    wide = sum(each.numel() for each in foreign if each.dtype in (torch.float32, torch.float64))
    return bool(narrow) and wide >= sum(each.numel() for each in narrow)


def _rates(optimizer: Any, model: nn.Module, first: Any) -> Iterator[tuple[str, float]]:
    """Rates that differ from the ``first``; when that was given by hand, all of them are scaled with it."""
    rates = {id(each): group.get("lr", 0.0) for group in optimizer.param_groups for each in group["params"]}
    own = optimizer.param_groups[0].get("lr")
    if not isinstance(own, int | float) or not isinstance(first, int | float):
        return
    for name, parameter in model.named_parameters():
        rate = float(rates.get(id(parameter), 0.0))
        if rate != own:
            yield name, rate * first / own if own else rate


def optimizer_of(optimizer: Any, model: nn.Module, copies: Mapping[str, Tensor]) -> Any:
    """The same optimizer, groups and settings, over the parameters of a copy; None when it cannot be made.

    ``model`` is the one the optimizer was made for, ``copies`` the copy's parameters by name.
    """
    if not isinstance(getattr(optimizer, "param_groups", None), list):
        return None
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    groups = []
    for group in optimizer.param_groups:
        own = [copies[names[id(each)]] for each in group["params"] if id(each) in names]
        if own:
            groups.append({**{key: value for key, value in group.items() if key != "params"}, "params": own})
    try:
        return type(optimizer)(groups) if groups else None
    except (TypeError, ValueError, RuntimeError):  # optimizers with arguments that their groups do not hold
        return None
