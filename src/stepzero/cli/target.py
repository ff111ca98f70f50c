"""TARGET, --batch and --loss: from strings to what `stepzero.api.check` takes.

TARGET runs the user's code; arguments inside it are literals and nothing else is evaluated.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from stepzero.cli import batches, huggingface, importing, literal, vision
from stepzero.core.errors import BatchError, LossError, TargetError

FORMS = (
    "pkg.mod:factory, path/to/file.py:factory, pkg.mod:Class(width=256), timm:NAME, torchvision:NAME, "
    "hf:path/to/config.json or hf:CONFIG_CLASS"
)

EXAMPLE = "as in --batch 'randn(8,784)' or --batch pkg.mod:loader"


@dataclass(frozen=True, slots=True)
class Target:
    """What to check, ready for `stepzero.api.check`."""

    name: str
    """As the user wrote it."""
    subject: Any
    """A zero-argument factory of a model, (model, batch) or (model, batch, loss); or a ready model."""
    batch: Any = None
    target: Any = None
    loss: Any = None
    is_stand_in: bool = False
    """True when the batch was made up here instead of coming from the user."""
    notes: tuple[str, ...] = ()


def resolve(text: str, *, batch: str | None = None, loss: str | None = None, seed: int = 0) -> Target:
    """Turn the strings of the command line into a `Target`; every error is a `TargetError` of one line."""
    library, colon, rest = text.partition(":")
    if colon and library in ("timm", "torchvision", "hf"):
        target = _library(library, rest, seed, needs_batch=batch is None)
    else:
        target = _users(text, has_batch=batch is not None)
    if batch is not None:
        given, is_stand_in = batches.load(batch, seed=seed)
        notes = (f"batch {batch}: random numbers, a stand-in for data",) if is_stand_in else ()
        target = replace(target, batch=given, target=None, is_stand_in=is_stand_in, notes=notes)
    if loss is not None:
        target = replace(target, loss=_loss(loss))
    return target


def _library(library: str, rest: str, seed: int, *, needs_batch: bool) -> Target:
    """Build a target from a library that knows its models by name."""
    name, text = literal.split_call(rest)
    if not name:
        raise TargetError(f"{library}: needs a name, as in {library}:{_example(library)}")
    arguments = literal.arguments(text, f"{library}:{name}")
    if library == "hf":
        make, stand_in = huggingface.model(name, arguments, seed)
    else:
        make, stand_in = vision.model(library, name, arguments, seed)
    whole = f"{library}:{rest}"
    subject = _factory(whole, make, has_batch=True)
    if not needs_batch:
        return Target(whole, subject)
    if stand_in is None:
        raise BatchError(f"{whole}: stepzero has no stand-in batch for this kind of model; pass --batch")
    return Target(whole, subject, stand_in.batch, stand_in.target, None, is_stand_in=True, notes=(stand_in.note,))


def _example(library: str) -> str:
    return {"timm": "resnet18", "torchvision": "resnet18", "hf": "GPT2Config"}[library]


def _users(text: str, *, has_batch: bool) -> Target:
    """Import the user's factory, class or model."""
    where = importing.reference(text)
    if where is None:
        raise TargetError(f"TARGET {text!r} is of no known form; expected {FORMS}")
    arguments = literal.arguments(where.arguments, where.name)
    found = importing.attribute(where.source, where.attribute)
    whole = text.strip()
    if _is_module(found):
        if where.arguments is not None:
            raise TargetError(f"{whole}: {where.attribute} is a model, not a function; leave the parentheses out")
        if not has_batch:
            raise BatchError(f"{whole} is a model and brings no batch; pass one, {EXAMPLE}")
        return Target(whole, found)
    if not callable(found):
        kind = type(found).__name__
        raise TargetError(f"{whole}: is of type {kind}; expected a function that returns a model, or a torch.nn.Module")
    arguments.check(found, where.name)
    if isinstance(found, type) and not has_batch:
        raise BatchError(f"{whole} is a class and brings no batch; pass one, {EXAMPLE}")
    return Target(whole, _factory(whole, lambda: found(*arguments.args, **arguments.kwargs), has_batch=has_batch))


def _factory(name: str, make: Callable[[], Any], *, has_batch: bool) -> Callable[[], Any]:
    """Wrap ``make`` so that its failures are told as those of ``name``, and its result is a model with a batch."""

    def build() -> Any:
        with importing.running(f"{name} could not be built"):
            made = make()
        model = made[0] if isinstance(made, tuple) and made else made
        if not _is_module(model):
            raise TargetError(
                f"{name} returned {_kind(made)}; expected a torch.nn.Module, (model, batch) or (model, batch, loss)"
            )
        if not has_batch and (model is made or made[1:2] in ((), (None,))):
            raise BatchError(f"{name} returned a model without a batch; return (model, batch), or pass one, {EXAMPLE}")
        return made

    return build


def _loss(text: str) -> Any:
    """A name goes on as it is; ``pkg.mod:fn`` is imported; a class is made with the literal arguments given."""
    if ":" not in text:
        return text
    where = importing.reference(text)
    if where is None:
        raise LossError(f"--loss {text!r}: expected a name such as cross_entropy, or pkg.mod:function")
    found = importing.attribute(where.source, where.attribute)
    if not callable(found):
        raise LossError(f"--loss {text}: {type(found).__name__} is not callable; expected loss(output[, target])")
    if where.arguments is not None or isinstance(found, type):
        arguments = literal.arguments(where.arguments, where.name)
        arguments.check(found, where.name)
        with importing.running(f"--loss {text} could not be made"):
            found = found(*arguments.args, **arguments.kwargs)
    return found


def _is_module(item: object) -> bool:
    from torch import nn  # noqa: PLC0415 - a target needs torch, --help does not

    return isinstance(item, nn.Module)


def _kind(made: object) -> str:
    if made is None:
        return "None (is there a `return`?)"
    if isinstance(made, tuple):
        return f"a tuple of {', '.join(type(item).__name__ for item in made) or 'nothing'}"
    return f"an object of type {type(made).__name__}"
