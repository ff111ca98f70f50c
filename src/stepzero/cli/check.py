"""``stepzero check TARGET``: build the target, look at it, report."""

import contextlib
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from stepzero.cli import codes, failures, output
from stepzero.cli.deadline import OutOfTime, deadline
from stepzero.core.outcome import Coverage, NotChecked, Report

FORMATS = ("text", "json")


@dataclass(frozen=True, slots=True)
class Request:
    """What was asked for on the command line."""

    target: str
    batch: str | None
    loss: str | None
    select: tuple[str, ...] | None
    ignore: tuple[str, ...] | None
    seed: int
    deep: bool


@dataclass(frozen=True, slots=True)
class _Shown:
    """How the report is to be shown, and from which severity on the check fails."""

    form: str
    file: Path | None
    fail_on: str
    verbose: bool


@click.command("check", epilog="TARGET is imported and run: check only code that you would run.")
@click.argument("target")
@click.option("--batch", metavar="SRC", help="pkg.mod:loader, randn(64,784), file.safetensors or file.pt.")
@click.option("--loss", metavar="SRC", help="A name such as cross_entropy, or pkg.mod:function.")
@click.option("--select", multiple=True, metavar="CODES", help="Run these rules only: codes, prefixes (SZ3) or names.")
@click.option("--extend-select", multiple=True, metavar="CODES", help="Run these rules too.")
@click.option("--ignore", multiple=True, metavar="CODES", help="Leave these rules out.")
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    default="error",
    show_default=True,
    help="The severity from which the exit code is 1.",
)
@click.option("--format", "form", type=click.Choice(FORMATS), default="text", show_default=True, help="Report as this.")
@click.option(
    "-o",
    "--output",
    "file",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Write the report here; - is stdout.",
)
@click.option("--seed", type=click.IntRange(0, 2**32 - 1), default=0, show_default=True, help="Seed of every draw.")
@click.option(
    "--timeout",
    type=click.FloatRange(0, min_open=True),
    metavar="S",
    help="Stop after S seconds and report the check as incomplete.",
)
@click.option("--deep", is_flag=True, help="Also take the measurements that need more time.")
@click.option("-v", "--verbose", is_flag=True, help="Tell every finding and every layer in full.")
def command(
    *,
    target: str,
    batch: str | None,
    loss: str | None,
    select: tuple[str, ...],
    extend_select: tuple[str, ...],
    ignore: tuple[str, ...],
    fail_on: str,
    form: str,
    file: Path | None,
    seed: int,
    timeout: float | None,
    deep: bool,
    verbose: bool,
) -> int:
    """Check the model that TARGET builds, before training.

    TARGET: pkg.mod:factory, path/to/file.py:factory, pkg.mod:Class(width=256) (literal arguments only), timm:NAME,
    torchvision:NAME, hf:path/to/config.json or hf:CONFIG_CLASS (random weights, nothing is downloaded). A factory
    returns a model, (model, batch) or (model, batch, loss). TARGET runs your code.
    """
    from stepzero.rules import ALL  # noqa: PLC0415 - --help does not need the rules

    chosen, left_out = codes.selected(codes.split(select), codes.split(extend_select), codes.split(ignore), ALL)
    place = None if file == Path("-") else file
    if place is not None:
        output.check_writable(place)
    request = Request(target, batch, loss, chosen, left_out, seed, deep)
    return _answered(request, _Shown(form, place, fail_on, verbose), timeout)


def _answered(request: Request, shown: _Shown, timeout: float | None) -> int:
    """Check, and publish the report also when time runs out."""
    progress = output.Progress()

    def stop_hard() -> None:
        clean.close()  # stdout is ours again
        code = _publish(_out_of_time(request, timeout, progress.stage), shown)
        failures.say(f"no answer {timeout:g} s and a grace period after the start; stopped")
        os._exit(code)  # the main thread is inside one long call and cannot be asked

    with contextlib.ExitStack() as clean:
        clean.callback(progress.clear)
        clean.enter_context(output.stdout_kept_clean())
        try:
            with deadline(timeout, stop_hard):
                report = _checked(request, progress)
        except OutOfTime:
            report = _out_of_time(request, timeout, progress.stage)
    return _publish(report, shown)


def _checked(request: Request, progress: output.Progress) -> Report:
    """Resolve the target and check it; a failure of the user's code is a `TargetError` with its cause."""
    progress("importing torch")
    import stepzero.api  # noqa: PLC0415 - imports torch
    from stepzero.cli import target  # noqa: PLC0415 - --help does not need it

    with failures.told(request.target, "checked"):
        progress(f"importing {request.target}")
        found = target.resolve(request.target, batch=request.batch, loss=request.loss, seed=request.seed)
        report: Report = stepzero.api.check(found.subject, **_asked(found, request), progress=progress)
    return replace(report, conditions=(*found.notes, *report.conditions))


def _asked(found: Any, request: Request) -> dict[str, Any]:
    """Keyword arguments of `stepzero.api.check`."""
    return {
        "batch": found.batch,
        "loss": found.loss,
        "target": found.target,
        "select": request.select,
        "ignore": request.ignore,
        "seed": request.seed,
        "deep": request.deep,
        "batch_is_stand_in": found.is_stand_in,
        "name": found.name,
    }


def _publish(report: Report, shown: _Shown) -> int:
    """Show the report where it was asked for, once among all ranks; the exit code."""
    if output.is_first_rank():
        text = _rendered(report, shown)
        if shown.file is None:
            output.write(text)
        else:
            output.write_file(shown.file, text)
    return report.exit_code(shown.fail_on)


def _rendered(report: Report, shown: _Shown) -> str:
    if shown.form == "json":
        from stepzero.report import json  # noqa: PLC0415 - one renderer is enough

        return json.render(report)
    from stepzero.report import text  # noqa: PLC0415 - one renderer is enough

    is_file = shown.file is not None
    width = output.OFF_TERMINAL_WIDTH if is_file else output.width()
    return text.render(report, width=width, color=not is_file and output.is_color(), verbose=shown.verbose)


def _out_of_time(request: Request, timeout: float | None, stage: str) -> Report:
    """The report of a check that did not finish: nothing was judged."""
    why = f"out of time after {timeout:g} s while {stage}; raise --timeout, or check a smaller batch"
    coverage = Coverage(incomplete=(NotChecked("everything", why),))
    return Report(request.target, (), (), coverage, seed=request.seed)
