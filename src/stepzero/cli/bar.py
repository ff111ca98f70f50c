"""How far the lab is: a bar with rate and time left where stderr is a terminal, else a line at each tenth."""

import os
import sys
from typing import TYPE_CHECKING, Any, Self

import click

from stepzero.cli import output

if TYPE_CHECKING:
    from types import TracebackType

    from rich.progress import Progress as Rich

    from stepzero.lab.running import Progress


class Bar:
    """Called after each batch; until the first call it shows that something is being done."""

    def __init__(self, words: str) -> None:
        self._is_shown = output.is_first_rank()
        self._rich = _rich() if self._is_shown and _is_drawn() else None
        self._words, self._tenth = words, -1

    def __enter__(self) -> Self:
        """Show the bar."""
        if self._rich is not None:
            self._rich.start()
            self._task = self._rich.add_task(self._words, total=None, rate="", left="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: "TracebackType | None"
    ) -> None:
        """Take it away again, cursor and all, also after an interrupt."""
        if self._rich is not None:
            self._rich.stop()

    def __call__(self, at: "Progress") -> None:
        """Show how far it is."""
        rate, left = f"{at.rate:.1f} a second", "" if at.left is None else f"{_span(at.left)} left"
        if self._rich is not None:
            self._rich.update(self._task, completed=at.done, total=at.wanted, rate=rate, left=left)
        elif self._is_shown:
            self._tell(at, ", ".join(filter(None, (rate, left))))

    def _tell(self, at: "Progress", words: str) -> None:
        tenth = 10 * at.done // max(1, at.wanted)
        if tenth != self._tenth:  # smaller where another grid begins
            click.echo(f"{at.done} of {at.wanted} networks, {words}", err=True)
        self._tenth = tenth


def _is_drawn() -> bool:
    return sys.stderr.isatty() and os.environ.get("TERM") != "dumb"


def _rich() -> "Rich":
    from rich import progress  # noqa: PLC0415 - for terminals only
    from rich.console import Console  # noqa: PLC0415 - as above

    columns: list[Any] = [
        progress.TextColumn("{task.description}", markup=False), progress.BarColumn(bar_width=None),
        progress.MofNCompleteColumn(), progress.TextColumn("{task.fields[rate]}"), progress.TimeElapsedColumn(),
        progress.TextColumn("{task.fields[left]}"),
    ]  # fmt: skip
    return progress.Progress(*columns, console=Console(stderr=True), transient=True, expand=True)


def _span(seconds: float) -> str:
    """In hours, minutes or seconds, two of them at most."""
    whole = round(seconds)
    if whole >= 3600:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"
