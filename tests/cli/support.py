"""Runs the command line in this process or in a fresh one, with a stand-in for the measuring below it."""

import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

from click.testing import CliRunner, Result

from stepzero.cli import main
from stepzero.core.finding import Finding
from stepzero.core.outcome import Coverage, NotChecked, Report
from stepzero.core.rule import Rule, rule

SOURCE = Path(__file__).resolve().parents[2] / "src"

PAGE = """Units that are copies of one another.

What it finds
-------------
Equal rows.

Bad
---
    model = Net([attn])

References
----------
LeCun 1998.
"""


def run(*arguments: str) -> Result:
    """Run `stepzero` in this process; ``.output`` holds both streams in order."""
    return CliRunner().invoke(main, list(arguments))


def shell(*arguments: str, cwd: Path, code: str | None = None, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `stepzero` (or ``code``) in a fresh interpreter in ``cwd``."""
    kept = {key: value for key, value in os.environ.items() if key not in ("NO_COLOR", "FORCE_COLOR", "COLUMNS")}
    start = ["-c", code] if code else ["-m", "stepzero"]
    return subprocess.run(
        [sys.executable, *start, *arguments],
        cwd=cwd,
        env={**kept, "PYTHONPATH": str(SOURCE), **environment},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def made_rules() -> tuple[Rule, ...]:
    """Five rules with pages, of three families."""

    def judge(trace, limits):
        return ()

    judge.__doc__ = PAGE
    return tuple(
        rule(code, name, tier=1, status=status, limits=limits)(judge)
        for code, name, status, limits in (
            ("SZ101", "non-finite-value", "stable", ()),
            ("SZ201", "twin-units", "stable", ("equality_roundoffs",)),
            ("SZ301", "signal-drift", "stable", ("drift_slope", "drift_range")),
            ("SZ303", "saturated-units", "stable", ()),
            ("SZ305", "dead-units", "preview", ()),
        )
    )


def fault(severity: str = "error", code: str = "SZ201") -> Finding:
    """One finding at ``fc1.weight``."""
    return Finding(code, "twin-units", severity, ("fc1.weight",), "128 units form 1 block: effective width 0.0078")


class FakeApi(ModuleType):
    """Takes the place of ``stepzero.api``: builds the target, remembers what it was asked, gives a made report."""

    def __init__(self) -> None:
        super().__init__("stepzero.api")
        self.asked = SimpleNamespace()
        self.findings: tuple[Finding, ...] = ()
        self.incomplete: tuple[NotChecked, ...] = ()
        self.error: BaseException | None = None

    def check(self, model, batch=None, loss=None, target=None, **asked) -> Report:
        """Build as the real one does, and report what the test wants."""
        from torch import nn

        made = model if isinstance(model, nn.Module) else model()
        self.asked = SimpleNamespace(made=made, batch=batch, loss=loss, target=target, **asked)
        asked["progress"]("measuring")
        if self.error is not None:
            raise self.error
        coverage = Coverage(1, 1, 2, 2, ("SZ201",), incomplete=self.incomplete)
        return Report(asked["name"], self.findings, (), coverage, seed=asked["seed"])
