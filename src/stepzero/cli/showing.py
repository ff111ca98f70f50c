"""Showing a report: in the form and at the place that was asked for, once among all ranks."""

import importlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from stepzero.cli import failures, output

if TYPE_CHECKING:
    from stepzero.core.outcome import Report

FORMATS = ("text", "json", "sarif", "github", "junit", "html", "md")
SUMMARY = "GITHUB_STEP_SUMMARY"
"""Variable that names the file to which a step of GitHub Actions appends its job summary."""
_FILES = {"md": "markdown"}
"""Renderers whose file is not called like the format."""


@dataclass(frozen=True, slots=True)
class Shown:
    """How the report is to be shown, and from which severity on the check fails."""

    form: str
    file: Path | None
    fail_on: str
    verbose: bool


def publish(report: "Report", shown: Shown) -> int:
    """Show the report; the exit code."""
    if output.is_first_rank():
        text = _rendered(report, shown)
        if shown.file is None:
            output.write(text)
        else:
            output.write_file(shown.file, text)
        if shown.form == "github":
            _summarise(report)
    return report.exit_code(shown.fail_on)


def _rendered(report: "Report", shown: Shown) -> str:
    # One renderer is imported, not all of them.
    render = importlib.import_module(f"stepzero.report.{_FILES.get(shown.form, shown.form)}").render
    if shown.form == "text":
        is_file = shown.file is not None
        width = output.OFF_TERMINAL_WIDTH if is_file else output.width()
        color = not is_file and output.is_color()
        return str(render(report, width=width, color=color, verbose=shown.verbose))
    if shown.form == "junit":
        return str(render(report, fail_on=shown.fail_on))
    if shown.form == "github":
        return str(render(report, has_summary=bool(os.environ.get(SUMMARY))))
    return str(render(report))


def _summarise(report: "Report") -> None:
    """Append the full list to the job summary; a verdict does not depend on whether that works."""
    place = os.environ.get(SUMMARY)
    if not place:
        return
    from stepzero.report import markdown  # noqa: PLC0415 - only for this format

    try:
        with Path(place).open("a", encoding="utf-8") as file:
            file.write(markdown.render(report))
    except OSError as error:
        failures.say(f"{SUMMARY} {place}: {error.strerror}; the job summary was not written")
