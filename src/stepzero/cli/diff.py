"""``stepzero diff A B``: two saved reports, or two targets that are checked in the same way."""

from pathlib import Path
from typing import Any

import click

from stepzero.cli import importing, output, request
from stepzero.cli.check import answered
from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.core.outcome import Report
from stepzero.report.style import Paint


@click.command("diff", epilog="A TARGET is imported and run: compare only code that you would run.")
@click.argument("before", metavar="A")
@click.argument("after", metavar="B")
@request.options
@click.option(
    "--fail-on",
    type=click.Choice(["error", "warning", "never"]),
    help="The severity of a new or louder finding from which the exit code is 1; error unless told otherwise.",
)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text", help="Show as this.")
@click.option("-o", "--output", "file", type=click.Path(path_type=Path), metavar="FILE", help="Write it here.")
def command(
    *, before: str, after: str, fail_on: str | None, form: str, file: Path | None, config: Path | None, **flags: Any
) -> int:
    """Say what is new, gone and changed from A to B, and which layers moved.

    A and B are reports that `stepzero check --format json` wrote, or targets as `stepzero check` takes them. Exit 0
    when no finding at or above --fail-on is new or louder, 1 when one is, 3 when a report was incomplete.
    """
    place = None if file == Path("-") else file
    if place is not None:
        output.check_writable(place)
    reports = [_report(side, config=config, flags=flags) for side in (before, after)]
    gate = fail_on or "error"
    return _answer(reports[0], reports[1], gate, form, place)


def _report(side: str, *, config: Path | None, flags: dict[str, Any]) -> Report:
    """Read a saved report, or check a target."""
    path = Path(side)
    if path.is_file() and not side.endswith(".py"):
        return _read(path)
    if importing.reference(side) is None or side.endswith(".json"):
        near = did_you_mean(path.name, [file.name for file in path.parent.glob("*.json")])
        raise ConfigError(f"{side}: no such file{near or '; expected a saved report, or a TARGET as check takes it'}")
    asked = request.understood(side, config=config, **flags)
    known = request.known(asked)
    found: list[Report] = []

    def keep(report: Report) -> int:
        found.append(report)
        return report.exit_code("never")

    answered(asked, lambda progress: request.checked(asked, progress, known), keep)
    return found[0]


def _read(path: Path) -> Report:
    try:
        return Report.from_json(path.read_bytes())
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}; expected a saved report") from None
    except ValueError as error:
        raise ConfigError(f"{path}: {error}; save one with `stepzero check TARGET --format json -o FILE`") from None


def _answer(before: Report, after: Report, fail_on: str, form: str, place: Path | None) -> int:
    from stepzero.report import difference as shown  # noqa: PLC0415 - --help does not need it
    from stepzero.verdict.difference import difference  # noqa: PLC0415 - as above

    found = difference(before, after)
    if output.is_first_rank():
        if form == "json":
            text = found.to_json() + "\n"
        else:
            is_file = place is not None
            width = output.OFF_TERMINAL_WIDTH if is_file else output.width()
            text = shown.render(found, width, Paint(not is_file and output.is_color()))
        if place is None:
            output.write(text)
        else:
            output.write_file(place, text)
    return found.exit_code(fail_on)
