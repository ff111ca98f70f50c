"""Where a finding is in the reader's repository: a relative path that exists, and a line."""

import re
from pathlib import Path

from stepzero.core.finding import Finding
from stepzero.core.outcome import Report

_LAST = "pyproject.toml"
"""Where a finding is shown that has no place in the repository."""


def place(report: Report, finding: Finding, root: Path) -> tuple[str, int]:
    """Path relative to ``root``, with '/', and line of ``finding``.

    The line that created the place, when its file is below ``root`` and no installed package; else the file that the
    target names, line 1: a code host refuses a whole report for one finding without a file.
    """
    own = _line(finding.source_line, root)
    if own is not None:
        return own
    return _target(report, root), 1


def _line(source_line: str | None, root: Path) -> tuple[str, int] | None:
    path, _, line = (source_line or "").rpartition(":")
    if not path or not line.isdigit() or Path(path).is_absolute() or "site-packages" in Path(path).parts:
        return None
    return (path, max(1, int(line))) if (root / path).is_file() else None


def _target(report: Report, root: Path) -> str:
    """File that the target names: ``path/to/file.py:factory`` or ``pkg.mod:factory``; else any line, else _LAST."""
    source = report.model.partition(":")[0]
    if source.endswith(".py") and not Path(source).is_absolute():
        return Path(source).as_posix().removeprefix("./")
    if re.fullmatch(r"\w+(\.\w+)*", source):
        module = source.replace(".", "/")
        for path in (f"{module}.py", f"src/{module}.py", f"{module}/__init__.py", f"src/{module}/__init__.py"):
            if (root / path).is_file():
                return path
    lines = (_line(each.source_line, root) for each in report.findings)
    return next((line[0] for line in lines if line is not None), _LAST)
