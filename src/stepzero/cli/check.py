"""``stepzero check TARGET``: build the target, look at it, report."""

import contextlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from stepzero.cli import failures, output, request
from stepzero.cli.deadline import OutOfTime, deadline
from stepzero.cli.request import Request
from stepzero.cli.showing import FORMATS, Shown, publish

if TYPE_CHECKING:
    from stepzero.core.outcome import Report


@click.command("check", epilog="TARGET is imported and run: check only code that you would run.")
@click.argument("target")
@request.options
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    help="The severity from which the exit code is 1; error unless told otherwise.",
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
@click.option("-v", "--verbose", is_flag=True, help="Tell every finding and every layer in full.")
def command(
    *, target: str, fail_on: str | None, form: str, file: Path | None, verbose: bool, config: Path | None, **flags: Any
) -> int:
    """Check the model that TARGET builds, before training.

    TARGET: pkg.mod:factory, path/to/file.py:factory, pkg.mod:Class(width=256) (literal arguments only), timm:NAME,
    torchvision:NAME, hf:path/to/config.json or hf:CONFIG_CLASS (random weights, nothing is downloaded). A factory
    returns a model, (model, batch) or (model, batch, loss). TARGET runs your code.

    Options that are not given are read from [tool.stepzero] of the nearest pyproject.toml above the target's file, or
    above the working directory. A line that creates a module may carry '# stepzero: ignore[SZ401] reason'.
    """
    asked = request.understood(target, fail_on=fail_on, config=config, **flags)
    place = None if file == Path("-") else file
    if place is not None:
        output.check_writable(place)
    known = request.known(asked)
    return answered(
        asked,
        lambda progress: request.checked(asked, progress, known),
        lambda report: publish(report, Shown(form, place, asked.fail_on, verbose)),
    )


def answered(asked: Request, check: Callable[[output.Progress], "Report"], answer: Callable[["Report"], int]) -> int:
    """Check, and answer also when time runs out; the exit code."""
    progress = output.Progress()

    def stop_hard() -> None:
        clean.close()  # stdout is ours again
        code = answer(_out_of_time(asked, progress.stage))
        failures.say(f"no answer {asked.timeout:g} s and a grace period after the start; stopped")
        os._exit(code)  # the main thread is inside one long call and cannot be asked

    with contextlib.ExitStack() as clean:
        clean.callback(progress.clear)
        clean.enter_context(output.stdout_kept_clean())
        try:
            with deadline(asked.timeout, stop_hard):
                report = check(progress)
        except OutOfTime:
            report = _out_of_time(asked, progress.stage)
    return answer(report)


def _out_of_time(asked: Request, stage: str) -> "Report":
    """The report of a check that did not finish: nothing was judged."""
    from stepzero.core.outcome import Coverage, NotChecked, Report  # noqa: PLC0415 - --help does not need it

    why = f"out of time after {asked.timeout:g} s while {stage}; raise --timeout, or check a smaller batch"
    coverage = Coverage(incomplete=(NotChecked("everything", why),))
    return Report(asked.target, (), (), coverage, seed=asked.seed)
