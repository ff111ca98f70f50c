"""``stepzero check TARGET``: build the target, look at it, report."""

import contextlib
import os
import sys
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import click

from stepzero.cli import codes, failures, output
from stepzero.cli.deadline import OutOfTime, deadline
from stepzero.cli.importing import shortened
from stepzero.core.errors import StepzeroError, TargetError
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
    if file == Path("-"):
        file = None
    if file is not None:
        output.check_writable(file)
    request = Request(target, batch, loss, chosen, left_out, seed, deep)
    progress = output.Progress()

    def publish(report: Report) -> int:
        if output.is_first_rank():
            _publish(report, form, file, verbose=verbose)
        return report.exit_code(fail_on)

    def stop_hard() -> None:
        clean.close()  # stdout is ours again
        code = publish(_out_of_time(request, timeout, progress.stage))
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
    return publish(report)


def _checked(request: Request, progress: output.Progress) -> Report:
    """Resolve the target and check it; a failure of the user's code is a `TargetError` with its cause."""
    progress("importing torch")
    import stepzero.api  # noqa: PLC0415 - imports torch
    from stepzero.cli import target  # noqa: PLC0415 - --help does not need it

    arguments, sys.argv = sys.argv, [request.target]  # a target that parses arguments must not see ours
    try:
        progress(f"importing {request.target}")
        found = target.resolve(request.target, batch=request.batch, loss=request.loss, seed=request.seed)
        report: Report = stepzero.api.check(found.subject, **_asked(found, request), progress=progress)
    except StepzeroError:
        raise
    except SystemExit as error:  # a model that leaves must not take the verdict with it
        told = f"{request.target} called sys.exit({error.code!r}) while it ran, so nothing was checked"
        raise TargetError(told) from error
    except Exception as error:
        if not failures.is_users(error):
            raise
        reason = shortened(" ".join(str(error).split()) or "no message")
        raise TargetError(f"{request.target} failed while it ran: {type(error).__name__}: {reason}") from error
    finally:
        sys.argv = arguments
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


def _publish(report: Report, form: str, file: Path | None, *, verbose: bool) -> None:
    """Render and write the report: to stdout, or plain to a file."""
    if form == "json":
        from stepzero.report import json  # noqa: PLC0415 - one renderer is enough

        text = json.render(report)
    else:
        from stepzero.report import text as plain  # noqa: PLC0415 - one renderer is enough

        is_file = file is not None
        width = output.OFF_TERMINAL_WIDTH if is_file else output.width()
        text = plain.render(report, width=width, color=not is_file and output.is_color(), verbose=verbose)
    if file is None:
        output.write(text)
    else:
        output.write_file(file, text)


def _out_of_time(request: Request, timeout: float | None, stage: str) -> Report:
    """The report of a check that did not finish: nothing was judged."""
    why = f"out of time after {timeout:g} s while {stage}; raise --timeout, or check a smaller batch"
    coverage = Coverage(incomplete=(NotChecked("everything", why),))
    return Report(request.target, (), (), coverage, seed=request.seed)
