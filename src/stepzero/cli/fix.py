"""``stepzero fix TARGET``: carry out the fixes of a check, and write them into the source or into a file."""

import contextlib
import os
from pathlib import Path
from typing import Any

import click

from stepzero.cli import building, importing, output
from stepzero.core.errors import ConfigError


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
    appears is refused. Exit 0 when nothing was left to fix.
    """
    place = _place(target) if show or write else None
    if emit is not None:
        output.check_writable(emit)
        building.check_own(emit)
    progress = output.Progress()
    with contextlib.ExitStack() as clean:
        clean.callback(progress.clear)
        clean.enter_context(output.stdout_kept_clean())
        plan, made = _fixed(target, batch, loss, seed, progress, unsafe=unsafe)
        from stepzero.repair.emit import emit as emitted  # noqa: PLC0415 - imports torch

        code = emitted(plan, made.model) if plan.entries or plan.scalings else ""
        if emit is not None and code:
            output.write_file(emit, code)
    if place is not None and code:
        output.write(_edited(*place, code, write=write))
    if not show:
        from stepzero.report import plan as shown  # noqa: PLC0415 - one renderer is enough

        output.write(shown.render(plan, width=output.width(), color=output.is_color(), verbose=verbose))
    return 1 if any(note.partition(" ")[2].startswith("remains") for note in plan.notes) else 0


def _fixed(
    target: str, batch: str | None, loss: str | None, seed: int, progress: output.Progress, *, unsafe: bool
) -> tuple[Any, Any]:
    progress("importing torch")
    import stepzero  # noqa: PLC0415 - imports torch when it is used

    progress(f"building {target}")
    made = building.built(target, batch=batch, loss=loss, seed=seed)
    report = stepzero.check(
        made.model, made.batch, made.loss, made.target, seed=seed, name=made.name, progress=progress
    )
    progress("fixing")
    return stepzero.fix_(made.model, report, unsafe=unsafe, seed=seed), made


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


def _edited(path: Path, attribute: str, code: str, *, write: bool) -> str:
    """The change as a diff; carried out with ``write``. The function goes into a module beside the file."""
    from stepzero.repair import source  # noqa: PLC0415 - imports torch

    beside = path.with_name(f"{path.stem}_{attribute.lower()}_init.py")
    building.check_own(beside)
    with path.open(encoding="utf-8", newline="") as file:
        raw = file.read()
    ends = "\r\n" if "\r\n" in raw else "\n"
    before = raw.replace("\r\n", "\n")
    after = source.with_start(before, attribute, beside.stem)
    shown = [
        source.diff(before, after, os.path.relpath(path)),
        source.diff(beside.read_text(encoding="utf-8") if beside.exists() else "", code, os.path.relpath(beside)),
    ]
    if write:
        output.write_file(beside, code)
        with path.open("w", encoding="utf-8", newline="") as file:
            file.write(after.replace("\n", ends))
    return "\n".join(part for part in shown if part) + "\n"
