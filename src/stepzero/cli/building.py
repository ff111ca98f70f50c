"""From TARGET to a live model with its batch, for the commands that write one."""

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepzero.cli import failures
from stepzero.cli.importing import shortened
from stepzero.core.errors import ConfigError, StepzeroError, TargetError
from stepzero.core.plan import HEADER


@dataclass(frozen=True, slots=True)
class Built:
    """A model and what it runs on."""

    model: Any
    batch: Any
    loss: Any
    target: Any
    name: str


def check_own(path: Path) -> None:
    """Raise `ConfigError` when ``path`` holds something that stepzero has not written."""
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(HEADER):
        raise ConfigError(f"{path}: exists, and was not written by stepzero; choose another name or move it away")


def built(text: str, *, batch: str | None, loss: str | None, seed: int) -> Built:
    """Import TARGET, build it once, with the global random state seeded and put back.

    Raises:
        TargetError: it does not import or build; the user's own traceback comes first where it was their code.
    """
    from stepzero.cli import target  # noqa: PLC0415 - --help does not need it
    from stepzero.probe.build import parts  # noqa: PLC0415 - imports torch
    from stepzero.probe.restore import preserved_randomness, seed_everything  # noqa: PLC0415 - as above

    arguments, sys.argv = sys.argv, [text]
    try:
        with preserved_randomness():
            found = target.resolve(text, batch=batch, loss=loss, seed=seed)
            seed_everything(seed)
            made = found.subject() if _is_factory(found.subject) else found.subject
        model, own_batch, own_loss = parts(made)
    except StepzeroError:
        raise
    except Exception as error:
        if not failures.is_users(error):
            raise
        reason = shortened(" ".join(str(error).split()) or "no message")
        raise TargetError(f"{text} failed while it ran: {type(error).__name__}: {reason}") from error
    finally:
        sys.argv = arguments
    given = own_batch if found.batch is None else found.batch
    return Built(model, given, own_loss if found.loss is None else found.loss, found.target, found.name)


def _is_factory(subject: Any) -> bool:
    from torch import nn  # noqa: PLC0415 - only where a model is about to be built

    return not isinstance(subject, nn.Module)
