"""What somebody wrote so that findings do not count, and what became of it."""

from dataclasses import dataclass

from stepzero.core.finding import Finding


@dataclass(frozen=True, slots=True)
class Comment:
    """``# stepzero: ignore[SZ401] reason`` beside code that made a module or a parameter."""

    at: str
    """``path:line`` of the comment."""
    lines: tuple[str, ...]
    """``path:line`` of the creating lines it speaks of: its own, and that of the call it ends."""
    words: tuple[str, ...]
    """Codes, prefixes or names as they were written; empty when there were none."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class Suppression:
    """Findings of some codes at some places, which do not count.

    Without ``pattern`` and ``lines`` it holds everywhere. ``pattern`` is matched against the path of a place and of
    every module around it (``*`` stands for any characters, dots too); ``lines`` against the lines that created them.
    """

    origin: str
    """Where it is written: ``ignore``, ``per-module-ignores 'encoder.*'``, ``app/mlp.py:23``."""
    codes: tuple[str, ...]
    reason: str = ""
    pattern: str = ""
    lines: tuple[str, ...] = ()
    problem: str = ""
    """Why it can hide nothing: an unknown code."""

    @property
    def is_local(self) -> bool:
        """Whether it names a place; one that holds everywhere is written for other models, too."""
        return bool(self.pattern or self.lines)


@dataclass(frozen=True, slots=True)
class Suppressed:
    """A finding that does not count, and why."""

    finding: Finding
    by: str
    """Origin of the suppression, the baseline, or the suppressed finding that this one follows from."""
    reason: str = ""


@dataclass(frozen=True, slots=True)
class SuppressionFact:
    """One suppression that names a place, and how many findings it hid."""

    origin: str
    codes: tuple[str, ...]
    """Those that were asked about."""
    where: tuple[str, ...]
    """Paths of the outermost modules and parameters it speaks of."""
    hidden: int
    problem: str = ""
    partly: tuple[str, ...] = ()
    """Places of a finding it would have hidden but for these, which nothing covers."""
