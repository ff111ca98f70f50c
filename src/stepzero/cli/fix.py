"""``stepzero fix TARGET``: carry out the fixes of a check, and write them into the source or into a file."""

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from stepzero.cli import building, failures, importing, output
from stepzero.core.errors import ConfigError, IncompleteError


@dataclass(frozen=True, slots=True)
class _Request:
    """What was asked for on the command line."""

    target: str
    batch: str | None
    loss: str | None
    seed: int
    unsafe: bool
    is_emitted: bool
    """Whether the fixes are to be written down as plain torch."""


@click.command("fix", epilog="TARGET is imported and run: use it only on code that you would run.")
@click.argument("target")
@click.option("--batch", metavar="SRC", help="pkg.mod:loader, randn(64,784), file.safetensors or file.pt.")
@click.option("--loss", metavar="SRC", help="A name such as cross_entropy, or pkg.mod:function.")
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of every draw.")
@click.option("--diff", "show", is_flag=True, help="Show the change to the source, and write nothing.")
@click.option("--write", is_flag=True, help="Change the source: call init_ on what the factory returns.")
@click.option(
    "--emit",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write a function init_(model) here that carries the fixes out and needs torch alone.",
)
@click.option("--unsafe", is_flag=True, help="Also carry out fixes that may overwrite values somebody meant.")
@click.option("-v", "--verbose", is_flag=True, help="List every parameter.")
def command(
    *,
    target: str,
    batch: str | None,
    loss: str | None,
    seed: int,
    show: bool,
    write: bool,
    emit: Path | None,
    unsafe: bool,
    verbose: bool,
) -> int:
    """Check the model that TARGET builds, carry out the fixes, and check again.

    Without --diff, --write or --emit the Plan is shown and nothing is written. A fix after which an error remains or
    appears is refused. Exit 0 when nothing was left to fix, 1 when an error remains, 3 when the check was incomplete.
    """
    _refuse_both(show=show, write=write, emit=emit)
    place = _place(target) if show or write else None
    if emit is not None:
        output.check_writable(emit, "--emit")
        building.check_own(emit)
    progress = output.Progress()
    with contextlib.ExitStack() as stack:
        stack.callback(progress.clear)
        stack.enter_context(output.stdout_kept_clean())
        stack.enter_context(failures.told(target, "fixed"))
        plan, made, code, unseen = _fixed(
            _Request(target, batch, loss, seed, unsafe, is_emitted=bool(place or emit)), progress
        )
    if emit is not None and code:
        output.write_file(emit, code, "--emit")
    if place is not None and code:
        output.write(_edited(*place, code, write=write, is_tuple=made.is_tuple))
    if not show:
        from stepzero.report import plan as shown  # noqa: PLC0415 - one renderer is enough

        output.write(shown.render(plan, width=output.width(), color=output.is_color(), verbose=verbose))
    if any(note.partition(" ")[2].startswith("remains") for note in plan.notes):
        return 1
    if unseen:
        raise IncompleteError(f"{target}: the check was not complete, so more may be wrong: {unseen}")
    return 0


def _refuse_both(*, show: bool, write: bool, emit: Path | None) -> None:
    if show and (write or emit is not None):
        other = "--write" if write else "--emit"
        raise ConfigError(f"fix: --diff shows the change and writes nothing, and {other} writes; leave one of them out")


def _fixed(asked: _Request, progress: output.Progress) -> tuple[Any, building.Built, str, str]:
    """The Plan that was carried out, the model, the Plan as plain torch if it writes anything, what was not checked."""
    progress("importing torch")
    import stepzero  # noqa: PLC0415 - imports torch when it is used
    from stepzero.repair import emit  # noqa: PLC0415 - as above

    progress(f"building {asked.target}")
    made = building.built(asked.target, batch=asked.batch, loss=asked.loss, seed=asked.seed)
    if asked.is_emitted:
        emit.refuse(made.model)
    report = stepzero.check(
        made.model, made.batch, made.loss, made.target,
        seed=asked.seed, name=made.name, batch_is_stand_in=made.is_stand_in, progress=progress,
    )  # fmt: skip
    progress("fixing")
    plan = stepzero.fix_(made.model, report, unsafe=asked.unsafe, seed=asked.seed)
    is_empty = not asked.is_emitted or not (plan.entries or plan.scalings)
    unseen = "; ".join(f"{each.what}: {each.why}" for each in report.coverage.incomplete)
    return plan, made, "" if is_empty else emit.emit(plan, made.model), unseen


def _place(target: str) -> tuple[Path, str]:
    """The file and the factory that would be edited."""
    where = importing.reference(target)
    path = Path(where.source) if where is not None and str(where.source).endswith(".py") else None
    if where is None or path is None or not path.is_file():
        raise ConfigError(
            f"fix: --diff and --write edit a factory in a file, as in path/to/file.py:factory, got {target!r}; "
            "use --emit"
        )
    return path, where.attribute


def _edited(path: Path, attribute: str, code: str, *, write: bool, is_tuple: bool) -> str:
    """The change as a diff; carried out with ``write``. The function goes into a module beside the file."""
    from stepzero.repair import source  # noqa: PLC0415 - imports torch

    beside = path.with_name(f"{path.stem}_{attribute.lower()}_init.py")
    building.check_own(beside)
    with path.open(encoding="utf-8", newline="") as file:
        raw = file.read()
    before = raw.replace("\r\n", "\n")
    after = source.with_start(before, attribute, importing.module_of(beside), is_tuple=is_tuple)
    shown = [
        source.diff(before, after, os.path.relpath(path)),
        source.diff(beside.read_text(encoding="utf-8") if beside.exists() else "", code, os.path.relpath(beside)),
    ]
    if write:
        output.write_file(beside, code, "--write")
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(after.replace("\n", "\r\n" if "\r\n" in raw else "\n"))
    return "\n".join(part for part in shown if part) + "\n"
