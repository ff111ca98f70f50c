"""What goes wrong, as one line and an exit code; the user's own traceback stands before it where it was their code."""

import contextlib
import os
import sys
import sysconfig
import traceback
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from types import TracebackType

import click

from stepzero.core.errors import StepzeroError, TargetError

USAGE = 2
CRASHED = 3
INTERRUPTED = 130
"""128 + SIGINT, as shells count."""


def guarded(action: Callable[[], object]) -> int:
    """Run ``action`` and return the exit code: its own when it returns an int, else by what it raised."""
    try:
        code = action()
    except click.exceptions.NoArgsIsHelpError as error:
        error.show()
        return USAGE
    except click.ClickException as error:
        say(_usage(error))
        return USAGE
    except (click.Abort, KeyboardInterrupt):
        say("interrupted; nothing was reported")
        return INTERRUPTED
    except StepzeroError as error:
        return _refused(error)
    except Exception as error:  # noqa: BLE001 - the last stop: whatever is left is a fault of stepzero
        traceback.print_exception(error)
        say(f"{type(error).__name__} inside stepzero itself: this is a bug, please report the lines above")
        return CRASHED
    return code if isinstance(code, int) else 0


def say(line: str) -> None:
    """Write one ``stepzero: ...`` line to stderr."""
    print(f"stepzero: {' '.join(line.split())}", file=sys.stderr)


@contextlib.contextmanager
def told(target: str, done: str) -> Iterator[None]:
    """Run the target's code: ``sys.argv`` is its own, and what it raises becomes a `TargetError` with its cause.

    ``done`` is what comes of it when all goes well: checked, fixed.
    """
    arguments, sys.argv = sys.argv, [target]  # a target that parses arguments must not see ours
    try:
        yield
    except StepzeroError:
        raise
    except SystemExit as error:  # a model that leaves must not take the verdict with it
        raise TargetError(f"{target} called sys.exit({error.code!r}) while it ran, so nothing was {done}") from error
    except Exception as error:
        if not is_users(error):
            raise
        reason = shortened(" ".join(str(error).split()) or "no message")
        raise TargetError(f"{target} failed while it ran: {type(error).__name__}: {reason}") from error
    finally:
        sys.argv = arguments


def is_users(error: BaseException) -> bool:
    """Whether code of the target raised ``error``: some frame lies in a module of torch or outside of stepzero."""
    return any(_owner(filename) in ("user", "layer") for filename in _files(error.__traceback__))


def shortened(reason: str, longest: int = 200) -> str:
    """Cut a reason that would fill the screen; the traceback before it has all."""
    return reason if len(reason) <= longest else reason[: longest - 3] + "..."


def _refused(error: StepzeroError) -> int:
    cause = error.__cause__
    if cause is not None and (is_users(cause) or isinstance(cause, SyntaxError)):
        print("".join(_trimmed(cause).format()), end="", file=sys.stderr)
    say(str(error))
    return error.exit_code


def _usage(error: click.ClickException) -> str:
    """Click's message as one clause, with where to read on unless it ends in a question of its own."""
    context = getattr(error, "ctx", None)
    message = error.format_message().strip().rstrip(".")
    help_at = f"; see '{context.command_path} --help'" if context is not None and not message.endswith("?") else ""
    return f"{message[:1].lower()}{message[1:]}{help_at}"


def _trimmed(error: BaseException) -> traceback.TracebackException:
    """The traceback without frames of stepzero, torch, click and the import machinery, along the whole chain.

    With the environment variable STEPZERO_DEBUG set, nothing is left out.
    """
    told = traceback.TracebackException.from_exception(error)
    pending = [] if os.environ.get("STEPZERO_DEBUG") else [told]
    while pending:
        part = pending.pop()
        part.stack = traceback.StackSummary.from_list([f for f in part.stack if _owner(f.filename) == "user"])
        pending += [link for link in (part.__cause__, part.__context__) if link is not None]
    return told


def _files(frames: TracebackType | None) -> list[str]:
    files = []
    while frames is not None:
        files.append(frames.tb_frame.f_code.co_filename)
        frames = frames.tb_next
    return files


@cache
def _owner(filename: str) -> str:
    """Whose code a frame is: ``stepzero``, ``layer`` (a module of torch), ``machinery`` or ``user``."""
    if filename.startswith("<frozen "):
        return "machinery"
    path = Path(filename)
    if path.is_relative_to(Path(__file__).parent.parent):
        return "stepzero"
    is_installed = not {"site-packages", "dist-packages"}.isdisjoint(path.parts)
    if is_installed and "torch" in path.parts:
        return "layer" if path.parts[-3:-1] == ("nn", "modules") else "machinery"
    if is_installed and "click" in path.parts:
        return "machinery"
    is_standard = path.is_relative_to(sysconfig.get_paths()["stdlib"]) and not is_installed
    return "machinery" if is_standard else "user"
