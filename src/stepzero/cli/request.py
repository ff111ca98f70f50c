"""What commands that check have in common: their flags, the configuration file, and the check itself.

A flag wins over ``[tool.stepzero]`` in pyproject.toml, key by key.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from stepzero.cli import codes, failures, output

if TYPE_CHECKING:
    from stepzero.core.baseline import Baseline
    from stepzero.core.outcome import Report
    from stepzero.verdict.config import Config

Command = TypeVar("Command", bound=Callable[..., Any])
SEEDS = click.IntRange(0, 2**32 - 1)

_OPTIONS = (
    click.option("--batch", metavar="SRC", help="pkg.mod:loader, randn(64,784), file.safetensors or file.pt."),
    click.option("--loss", metavar="SRC", help="A name such as cross_entropy, or pkg.mod:function."),
    click.option("--select", multiple=True, metavar="CODES", help="Run only these: codes, prefixes (SZ3) or names."),
    click.option("--extend-select", multiple=True, metavar="CODES", help="Run these rules too."),
    click.option("--ignore", multiple=True, metavar="CODES", help="Findings of these rules do not count."),
    click.option("--baseline", "baseline_file", type=click.Path(path_type=Path), metavar="FILE",
                 help="What is in this file does not count; `stepzero baseline write` makes it."),
    click.option("--config", type=click.Path(path_type=Path), metavar="FILE",
                 help="Read [tool.stepzero] from here instead of the nearest pyproject.toml that has it."),
    click.option("--seed", type=SEEDS, metavar="N", help="Seed of every draw; 0 unless told otherwise."),
    click.option("--seeds", type=click.IntRange(1), metavar="N", help="Try N seeds of the factory; tell the spread."),
    click.option("--timeout", type=click.FloatRange(0, min_open=True), metavar="S",
                 help="Stop after S seconds and report the check as incomplete."),
    click.option("--reference", type=click.Path(path_type=Path), metavar="FILE",
                 help="The state that the target loaded (.safetensors, .pt): report what it no longer holds."),
    click.option("--deep", is_flag=True, default=None, help="Also take the measurements that need more time."),
)  # fmt: skip


def options(command: Command) -> Command:
    """Add the flags of a check to a click command."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for, on the command line or else in the configuration file."""

    target: str
    batch: str | None = None
    loss: str | None = None
    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    per_module_ignores: dict[str, Any] | None = None
    baseline: Path | None = None
    seed: int = 0
    seeds: int = 1
    timeout: float | None = None
    deep: bool = False
    fail_on: str = "error"
    reference: Path | None = None
    config: str = ""
    """Which configuration file was used, and which of its keys, in words; '' for none."""


def understood(target: str, *, fail_on: str | None = None, config: Path | None, **flags: Any) -> Request:
    """Merge the flags of `options` with the configuration file; `ConfigError` names what is wrong in either."""
    from stepzero.rules import ALL  # noqa: PLC0415 - --help does not need the rules
    from stepzero.verdict import config as files  # noqa: PLC0415 - as above

    file = config or files.find(_folder(target))
    table = files.read(file) if file is not None else files.Config()
    given = codes.Words(*(codes.split(flags[key]) for key in ("select", "extend_select", "ignore")))
    chosen, left_out = codes.merged(given, table, f"{_shown(file)}: {files.TABLE}." if file else "", ALL)
    return Request(
        target,
        flags["batch"],
        flags["loss"],
        chosen,
        left_out,
        _by_module(table),
        _baseline(flags["baseline_file"], table, file),
        _first(flags["seed"], table.seed, 0),
        _first(flags["seeds"], table.seeds, 1),
        _first(flags["timeout"], table.timeout, None),
        bool(_first(flags["deep"], table.deep)),
        _first(fail_on, table.fail_on, "error"),
        flags["reference"],
        _told(file, table),
    )


def known(request: Request) -> "Baseline | None":
    """The baseline that was asked for, read before anything runs."""
    from stepzero.verdict import baseline  # noqa: PLC0415 - --help does not need it

    return baseline.read(request.baseline) if request.baseline is not None else None


def checked(request: Request, progress: output.Progress, baseline: "Baseline | None" = None) -> "Report":
    """Resolve the target and check it; a failure of the user's code is a `TargetError` with its cause."""
    progress("importing torch")
    import stepzero.api  # noqa: PLC0415 - imports torch
    from stepzero.cli import batches, target  # noqa: PLC0415 - --help does not need it

    with failures.told(request.target, "checked"):
        progress(f"importing {request.target}")
        reference = batches.read_state(request.reference) if request.reference is not None else None
        found = target.resolve(request.target, batch=request.batch, loss=request.loss, seed=request.seed)
        report = stepzero.api.check(
            found.subject, **_asked(found, request), reference=reference, baseline=baseline, progress=progress
        )
    told = (f"configuration: {request.config}",) if request.config else ()
    return replace(report, conditions=(*found.notes, *report.conditions, *told))


def _asked(found: Any, request: Request) -> dict[str, Any]:
    """Keyword arguments of `stepzero.api.check`."""
    return {
        "batch": found.batch,
        "loss": found.loss,
        "target": found.target,
        "select": request.select,
        "ignore": request.ignore,
        "per_module_ignores": request.per_module_ignores,
        "seed": request.seed,
        "seeds": request.seeds,
        "deep": request.deep,
        "batch_is_stand_in": found.is_stand_in,
        "name": found.name,
    }


def _folder(target: str) -> Path:
    """Where to look for the configuration: beside the target's file, else in the working directory."""
    from stepzero.cli.importing import reference  # noqa: PLC0415 - --help does not need it

    where = reference(target)
    file = Path(where.source) if where is not None and where.source.endswith(".py") else None
    return file.resolve().parent if file is not None and file.is_file() else Path.cwd()


def _first(*values: Any) -> Any:
    """The first that somebody gave."""
    return next((value for value in values if value is not None), None)


def _by_module(table: "Config") -> dict[str, Any] | None:
    if table.per_module_ignores is None:
        return None
    return {
        pattern: entry if isinstance(entry, list) else {"codes": entry.codes, "reason": entry.reason}
        for pattern, entry in table.per_module_ignores.items()
    }


def _baseline(flag: Path | None, table: "Config", file: Path | None) -> Path | None:
    """The flag is relative to the working directory, the key to the folder of its file."""
    if flag is not None or table.baseline is None or file is None:
        return flag
    return Path(_shown(file.parent / table.baseline))


def _shown(file: Path | None) -> str:
    """Relative to the working directory where that is shorter."""
    if file is None:
        return ""
    relative = os.path.relpath(file)
    return relative if len(relative) < len(str(file)) else str(file)


def _told(file: Path | None, table: "Config") -> str:
    if file is None:
        return ""
    used = [name for name in table.__struct_fields__ if getattr(table, name) is not None]
    keys = ", ".join(name.replace("_", "-") for name in used) or "empty"
    return f"{_shown(file)}, [tool.stepzero] {keys}"
