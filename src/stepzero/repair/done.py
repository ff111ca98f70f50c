"""Which models have been given a start, so that none is drawn over training, or over a start of another kind."""

import weakref

from torch import Tensor, nn
from torch.nn.parameter import UninitializedTensorMixin  # type: ignore[attr-defined] # torch exports it, its stubs do not

from stepzero.core.errors import TargetError
from stepzero.probe import tree

Versions = tuple[tuple[int, int, str], ...]

_DONE: "weakref.WeakKeyDictionary[nn.Module, tuple[str, Versions]]" = weakref.WeakKeyDictionary()
"""Who gave the start, and how the parameters were right after it."""


def note(model: nn.Module, verb: str) -> None:
    """Remember that ``verb`` (``init_``, ``mup_``) has written the start of ``model`` as it is now."""
    _DONE[model] = verb, _versions(model)


def by(model: nn.Module) -> str:
    """What wrote its start last; empty when nothing did."""
    return _DONE[model][0] if model in _DONE else ""


def refuse(model: nn.Module) -> None:
    """Raise `TargetError` when `init_` would draw over training or over what `mup_` wrote."""
    verb, versions = _DONE.get(model, ("", ()))
    if verb == "mup_":
        raise TargetError(
            "model: mup_ wrote its start, and init_ would undo that law; pass force=True to draw it again all the same"
        )
    if verb and versions != _versions(model):
        raise TargetError(
            "model: it was initialised before and its weights have changed since (trained or loaded?); "
            "pass force=True to draw them again"
        )


def _versions(model: nn.Module) -> Versions:
    """Identity, number of writes and sum of every parameter; a write through ``.data`` is not counted, but felt."""
    return tuple((id(tensor), _writes(tensor), _sum(tensor)) for _, tensor in tree.once(tree.parameters(model)))


def _writes(tensor: Tensor) -> int:
    return 0 if isinstance(tensor, UninitializedTensorMixin) or tensor.is_inference() else tensor._version


def _sum(tensor: Tensor) -> str:
    """As text: a sum that is NaN equals itself."""
    if isinstance(tensor, UninitializedTensorMixin) or tensor.is_meta or tensor.is_complex():
        return ""
    return float(tensor.detach().double().sum()).hex()
