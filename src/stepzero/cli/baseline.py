"""``stepzero baseline write | prune``: keep what is wrong today from counting, so that only what is new does."""

from pathlib import Path
from typing import Any

import click

from stepzero.cli import output, request
from stepzero.cli.check import answered
from stepzero.core.baseline import Baseline
from stepzero.core.errors import ConfigError, IncompleteError
from stepzero.core.outcome import Report
from stepzero.report.numbers import count

DEFAULT = Path("stepzero-baseline.json")
"""Where a baseline is when nobody says where."""


@click.group("baseline")
def command() -> None:
    """Write a file of what is wrong today, or drop from it what no longer is.

    The file is for one target. Its key is code and place; a number only counts when it gets twice as bad. Check it in,
    and run `stepzero check --baseline FILE`.
    """


@command.command("write", epilog="TARGET is imported and run: use it only on code that you would run.")
@click.argument("target")
@request.options
def write(*, target: str, config: Path | None, **flags: Any) -> int:
    """Write every error and warning of TARGET to the baseline FILE.

    Numbers that have not changed by a factor of two stay as they were, so that writing again changes nothing else.
    """
    from stepzero.verdict import baseline  # noqa: PLC0415 - --help does not need it

    asked = request.understood(target, config=config, **flags)
    place = asked.baseline or DEFAULT
    output.check_writable(place, "--baseline")
    before = baseline.read(place) if place.exists() else Baseline(name=str(place))
    return answered(
        asked,
        lambda progress: request.checked(asked, progress),
        lambda report: _written(before, baseline.written(_complete(report, place), before), place),
    )


@command.command("prune", epilog="TARGET is imported and run: use it only on code that you would run.")
@click.argument("target")
@request.options
def prune(*, target: str, config: Path | None, **flags: Any) -> int:
    """Drop from the baseline FILE what TARGET no longer shows, and tighten what became twice as good.

    Nothing is added. Entries of rules that were not asked or could not judge stay.
    """
    from stepzero.verdict import baseline  # noqa: PLC0415 - --help does not need it

    asked = request.understood(target, config=config, **flags)
    place = asked.baseline or DEFAULT
    before = baseline.read(place)
    output.check_writable(place, "--baseline")
    return answered(
        asked,
        lambda progress: request.checked(asked, progress),
        lambda report: _written(before, baseline.pruned(_complete(report, place), before), place),
    )


def _complete(report: Report, place: Path) -> Report:
    """Refuse a report that must not be read as the whole truth."""
    if not report.is_complete:
        why = report.coverage.incomplete[0]
        raise IncompleteError(f"{place}: the check was incomplete ({why.what}: {why.why}); nothing was written")
    if not report.coverage.rules_run:
        raise ConfigError(f"{place}: no rule was asked; nothing was written")
    return report


def _written(before: Baseline, after: Baseline, place: Path) -> int:
    """Write what changed, and say it."""
    from stepzero.verdict.baseline import dump  # noqa: PLC0415 - --help does not need it

    if not output.is_first_rank():
        return 0
    old = {(entry.code, entry.place): entry for entry in before.entries}
    new = {(entry.code, entry.place): entry for entry in after.entries}
    added, gone = sorted(new.keys() - old.keys()), sorted(old.keys() - new.keys())
    changed = sorted(key for key in new.keys() & old.keys() if new[key] != old[key])
    if added or gone or changed or not place.exists():
        output.write_file(place, dump(after), "--baseline")
    lines = [
        f"{sign} {code} {where or 'the model'}"
        for sign, keys in (("+", added), ("-", gone), ("~", changed))
        for code, where in keys
    ]
    entries = count(len(new), "entry", "entries")
    lines.append(f"{place}: {entries}, {len(added)} new, {len(gone)} gone, {len(changed)} changed")
    output.write("\n".join(lines) + "\n")
    return 0
