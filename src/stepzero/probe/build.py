"""Calling the user's factory: seeded, with the random state preserved, and every module's creating line recorded."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import CodeType, FrameType
from typing import Any, TypeAlias

import torch
from torch import nn

from stepzero.core.errors import StepzeroError, TargetError
from stepzero.probe.comments import comments
from stepzero.probe.lines import shown
from stepzero.probe.restore import preserved_randomness, preserved_state, seed_everything
from stepzero.probe.subject import Subject, subject_of, unwrapped
from stepzero.probe.writes import watched_writes

_TORCH = str(Path(torch.__file__).parent)
_HERE = str(Path(__file__).parent.parent)


Place: TypeAlias = int | tuple[int, str]
"""Id of a module; with a name, a parameter of it."""


class Lines(dict[Place, str]):
    """``path:line`` by place, and the files behind the paths that are shown."""

    def __init__(self) -> None:
        super().__init__()
        self.files: dict[str, str] = {}


def build(
    factory: Callable[[], Any],
    batch: Any = None,
    loss: Any = None,
    target: Any = None,
    *,
    name: str = "",
    seed: int = 0,
    is_stand_in: bool = False,
) -> Subject:
    """Call ``factory`` and bring what it returns into a Subject; arguments given here win over the factory's.

    The factory returns a model, ``(model, batch)`` or ``(model, batch, loss)``. Its own exceptions come back as they
    are; anything else it may return raises `TargetError`.
    """
    with preserved_randomness(), preserved_state(), recorded_lines() as lines, watched_writes() as watch:
        seed_everything(seed)
        with _noting_the_factory():
            made = factory()
    model, own_batch, own_loss = parts(made)
    subject = subject_of(
        model,
        own_batch if batch is None else batch,
        own_loss if loss is None else loss,
        target,
        name=name or getattr(factory, "__name__", "").replace("<lambda>", ""),
        seed=seed,
        is_stand_in=is_stand_in,
    )
    subject.factory = factory
    subject.source_lines = _by_path(unwrapped(model), lines)
    subject.comments = comments(lines.files, set(subject.source_lines.values()))
    subject.lost_writes = watch.lost(subject.model)
    subject.writes = watch.journal.record(subject.model)
    return subject


def _by_path(model: nn.Module, lines: dict[Place, str]) -> dict[str, str]:
    """Lines of modules by their path, and of parameters that were assigned later by their name."""
    found = {path: lines[id(module)] for path, module in model.named_modules() if id(module) in lines}
    for path, module in model.named_modules():
        for name in module._parameters:
            if (line := lines.get((id(module), name))) is not None:
                found[f"{path}.{name}".lstrip(".")] = line
    return found


@contextmanager
def _noting_the_factory() -> Iterator[None]:
    try:
        yield
    except StepzeroError:
        raise
    except Exception as error:
        error.add_note("stepzero: raised while the factory built the model; nothing was checked")
        raise


def parts(made: Any) -> tuple[nn.Module, Any, Any]:
    """Take apart what a factory returned."""
    if isinstance(made, nn.Module):
        return made, None, None
    if isinstance(made, tuple | list) and made and isinstance(made[0], nn.Module) and len(made) <= 3:
        model, batch, loss = (*made, None, None)[:3]
        return model, batch, loss
    came = type(made).__name__
    if isinstance(made, tuple | list):
        came = f"{came} of ({', '.join(type(item).__name__ for item in made)})"
    raise TargetError(
        f"factory: expected a torch.nn.Module, (model, batch) or (model, batch, loss), got {came}; return one of these"
    )


@contextmanager
def recorded_lines() -> Iterator[Lines]:
    """Record, for each module constructed inside, ``path:line`` of the innermost frame outside torch that made it.

    Under (id, name) stands the line of a parameter that was assigned after its module was made.
    """
    lines = Lines()
    kept: list[nn.Module] = []  # an id is only good while its object lives
    original, register = nn.Module.__init__, nn.Module.register_parameter

    def recording(self: nn.Module, *args: Any, **kwargs: Any) -> None:
        place = _creator(sys._getframe(1), self, lines.files)
        if place:
            lines[id(self)] = place
            kept.append(self)
        original(self, *args, **kwargs)

    def registering(self: nn.Module, name: str, param: nn.Parameter | None) -> None:
        made = lines.get(id(self))
        place = _creator(sys._getframe(1), self, lines.files) if made is not None else None
        if place is not None and place != made:
            lines[id(self), name] = place
        register(self, name, param)

    nn.Module.__init__ = recording  # type: ignore[method-assign]  # watches every class at once
    nn.Module.register_parameter = registering  # type: ignore[method-assign]  # what assignments end in
    try:
        yield lines
    finally:
        nn.Module.__init__ = original  # type: ignore[method-assign]  # as it was
        nn.Module.register_parameter = register  # type: ignore[method-assign]  # as it was


def _creator(frame: FrameType | None, module: nn.Module, files: dict[str, str]) -> str | None:
    """Walk out of the module's own constructors and of torch; note in ``files`` which file the path shown means."""
    while frame is not None:
        code: CodeType = frame.f_code
        is_own = code.co_varnames[:1] == ("self",) and frame.f_locals.get("self") is module
        if not is_own and not code.co_filename.startswith((_TORCH, "<")):
            if code.co_filename.startswith(_HERE):
                return None
            path = shown(code.co_filename)
            files[path] = code.co_filename
            return f"{path}:{frame.f_lineno}"
        frame = frame.f_back
    return None
