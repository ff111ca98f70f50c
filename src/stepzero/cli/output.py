"""Where things go: the report to stdout or a file, everything else to stderr, and what the terminal can show."""

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from stepzero.core.errors import ConfigError

OFF_TERMINAL_WIDTH = 100
"""Columns when nobody says how wide the reader's window is."""
PLAIN = {"→": "->", "…": "~", "├─": "|-", "└─": "`-", "│": "|", "×": "x"}
"""What stands for a character that the encoding of the output lacks."""


def width() -> int:
    """Columns of the terminal that stdout is, else of ``COLUMNS``, else 100."""
    if sys.stdout.isatty() or os.environ.get("COLUMNS", "").isdigit():
        return shutil.get_terminal_size((OFF_TERMINAL_WIDTH, 24)).columns
    return OFF_TERMINAL_WIDTH


def is_color() -> bool:
    """Whether stdout may be coloured: a terminal, or FORCE_COLOR; NO_COLOR (not empty) and a dumb terminal win."""
    if os.environ.get("NO_COLOR") or os.environ.get("TERM") == "dumb":
        return False
    return bool(os.environ.get("FORCE_COLOR")) or sys.stdout.isatty()


def is_first_rank() -> bool:
    """Whether this process speaks: under torchrun only rank 0 does."""
    return os.environ.get("RANK", "0") in ("", "0")


def write(text: str) -> None:
    """Write to stdout in characters it can encode; a reader who went away (``| head``) is no error."""
    encoding = sys.stdout.encoding or "utf-8"
    try:
        sys.stdout.write(_encodable(text, encoding))
        sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the flush at exit fails once more


def check_writable(path: Path, flag: str = "-o") -> None:
    """Raise `ConfigError` now rather than after the work when ``path``, given as ``flag``, cannot be written."""
    folder = path.absolute().parent
    if path.is_dir():
        raise ConfigError(f"{flag} {path}: is a folder, expected a file name")
    if not folder.is_dir():
        raise ConfigError(f"{flag} {path}: the folder {folder} does not exist; make it first")
    if not os.access(path if path.exists() else folder, os.W_OK):
        raise ConfigError(f"{flag} {path}: not writable; choose another place")


def write_file(path: Path, text: str, flag: str = "-o") -> None:
    """Write ``text`` to ``path`` as UTF-8, all of it or nothing; `ConfigError` when the system refuses."""
    try:
        if path.exists() and not path.is_file():  # a pipe or a device: nothing to replace
            path.write_text(text, encoding="utf-8")
        else:
            _replace(path.resolve(), text)
    except OSError as error:
        raise ConfigError(f"{flag} {path}: {error.strerror}; nothing was written there") from error


def _replace(path: Path, text: str) -> None:
    """Write beside ``path`` and rename, so that a reader and a crash see the old file or the new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        beside.write_text(text, encoding="utf-8")
        if path.exists():
            shutil.copymode(path, beside)
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


@contextlib.contextmanager
def stdout_kept_clean() -> Iterator[None]:
    """Send what the target prints to stderr, also from C and from child processes, so that stdout is the report's."""
    with contextlib.redirect_stdout(sys.stderr), _descriptor_redirected(sys.__stdout__, sys.__stderr__):
        yield


@contextlib.contextmanager
def _descriptor_redirected(source: TextIO | None, target: TextIO | None) -> Iterator[None]:
    """Make the file descriptor of ``source`` mean that of ``target`` for a while, when both have one."""
    try:
        out, err = source.fileno() if source else -1, target.fileno() if target else -1
        kept = os.dup(out)
    except (OSError, ValueError):
        yield
        return
    try:
        os.dup2(err, out)
        yield
    finally:
        os.dup2(kept, out)
        os.close(kept)


class Progress:
    """Says on stderr what is being done, on one line that is overwritten; silent when stderr is no terminal."""

    def __init__(self) -> None:
        self.stage = "starting"
        self._is_shown = sys.stderr.isatty() and is_first_rank()

    def __call__(self, stage: str) -> None:
        """Note and show the current stage."""
        self.stage = stage
        if self._is_shown:
            sys.stderr.write(f"\r\x1b[2K{stage} ...")
            sys.stderr.flush()

    def clear(self) -> None:
        """Remove the line."""
        if self._is_shown:
            sys.stderr.write("\r\x1b[2K")
            sys.stderr.flush()


def _encodable(text: str, encoding: str) -> str:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        for fancy, plain in PLAIN.items():
            text = text.replace(fancy, plain)
        return text.encode(encoding, errors="backslashreplace").decode(encoding)
    return text
