"""The command line: one file a command, each named after it and holding ``command``.

``main`` is the entry point. A command is imported only when it runs, and it imports torch only when it needs it, so
that ``--help``, ``explain`` and ``rules`` answer at once.
"""

import difflib
import importlib
import sys
from collections.abc import Sequence
from typing import Any

import click

from stepzero import __version__
from stepzero.cli import failures

COMMANDS = {
    "check": "Check a model before training.",
    "init": "Work out a sound start and write it down.",
    "fix": "Carry out the fixes of a check.",
    "lab": "Train many small networks and compare their starts.",
    "baseline": "Keep what is wrong today from counting.",
    "diff": "Compare two reports or two targets.",
    "explain": "Explain a rule or a word.",
    "rules": "List the rules.",
    "doctor": "Say what stepzero runs on here.",
    "completion": "Print the script that completes stepzero in a shell.",
}
"""Name and one line of help of every command, in the order of the help text; ``stepzero.cli.NAME`` holds it."""


class Commands(click.Group):
    """A group that imports a command when it is asked for, and says what went wrong in one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click hands it to every override
        """Names in the order of COMMANDS."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002 - as above
        """Import the command; None for an unknown name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f"stepzero.cli.{cmd_name}").command
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Name the nearest command when there is none of that name."""
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            near = difflib.get_close_matches(args[0], COMMANDS, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(COMMANDS)}"
            raise click.UsageError(f"no command {args[0]!r}; {hint}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002 - as above
        """List the commands without importing them."""
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))

    def main(
        self,
        args: Sequence[str] | None = None,
        prog_name: str | None = None,
        complete_var: str | None = None,
        standalone_mode: bool = True,  # noqa: FBT001, FBT002 - click's signature
        **extra: Any,
    ) -> Any:
        """Run; every failure becomes one line on stderr and an exit code of the contract."""
        run = super().main
        code = failures.guarded(lambda: run(args, prog_name or self.name, complete_var, standalone_mode=False, **extra))
        if standalone_mode:
            sys.exit(code)
        return code


@click.command(
    "stepzero", cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100}
)
@click.version_option(__version__, message="stepzero %(version)s")
def main() -> None:
    """Check a PyTorch model BEFORE training for faults of its initialisation.

    Exit codes: 0 nothing found at or above --fail-on; 1 findings; 2 wrong use, or the target does not import, build
    or run; 3 incomplete.
    """
