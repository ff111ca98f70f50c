"""From TARGET to a live model with its batch, for the commands that write one."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepzero.core.errors import ConfigError
from stepzero.core.plan import HEADER


@dataclass(frozen=True, slots=True)
class Built:
    """A model and what it runs on."""

    model: Any
    batch: Any
    loss: Any
    target: Any
    name: str
    is_stand_in: bool = False
    """Whether the batch was made up."""
    is_tuple: bool = False
    """Whether the factory returned more than the model."""


def check_own(path: Path) -> None:
    """Raise `ConfigError` when ``path`` holds something that stepzero has not written."""
    if path.is_file() and not path.read_text(encoding="utf-8", errors="replace").startswith(HEADER):
        raise ConfigError(f"{path}: exists, and was not written by stepzero; choose another name or move it away")


def built(text: str, *, batch: str | None, loss: str | None, seed: int) -> Built:
    """Import TARGET, build it once, with the global random state seeded and put back; call within `failures.told`.

    Raises:
        TargetError: it does not import or build.
    """
    from torch import nn  # noqa: PLC0415 - --help does not need it

    from stepzero.cli import target  # noqa: PLC0415 - as above
    from stepzero.probe.build import parts  # noqa: PLC0415 - imports torch
    from stepzero.probe.restore import preserved_randomness, seed_everything  # noqa: PLC0415 - as above

    with preserved_randomness():
        found = target.resolve(text, batch=batch, loss=loss, seed=seed)
        seed_everything(seed)
        made = found.subject if isinstance(found.subject, nn.Module) else found.subject()
    model, own_batch, own_loss = parts(made)
    return Built(
        model,
        own_batch if found.batch is None else found.batch,
        own_loss if found.loss is None else found.loss,
        found.target,
        found.name,
        is_stand_in=found.is_stand_in,
        is_tuple=not isinstance(made, nn.Module),
    )
