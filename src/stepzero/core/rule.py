"""A Rule: a pure function from (Trace, Limits) to Findings, with its facts and its page."""

import re
import textwrap
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.trace import Trace

HEADINGS = ("What it finds", "Why it matters", "When it is fine", "Bad", "Good", "Fix", "References")
"""Headings every page has, in this order."""
CODE_HEADINGS = ("Bad", "Good")
"""Those that have code under them."""

FAMILIES = {
    1: "memory and provenance",
    2: "symmetry and redundancy",
    3: "forward signal",
    4: "gradients",
    5: "output and loss",
    6: "biases and embeddings",
    7: "structure and intent",
    8: "distributed and reproducibility",
    9: "the batch and the run",
}


@dataclass(frozen=True, slots=True)
class NotJudged:
    """A rule's own statement that it could not judge, and why."""

    reason: str


Verdict: TypeAlias = Iterable[Finding | NotJudged]


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule with everything that is known about it."""

    code: str
    name: str
    """Kebab-case; reads after 'allow' and names the bad pattern."""
    tier: int
    status: Literal["preview", "stable", "deprecated"]
    needs: tuple[str, ...]
    """Probes beyond the first pass that the rule asks for: ``poison``, ``forward``, ``backward``."""
    judge: Callable[[Trace, Limits], Verdict]
    limits: tuple[str, ...]
    """Fields of Limits the rule compares with."""
    page: str
    file: str

    @property
    def family(self) -> int:
        """First digit of the code."""
        return int(self.code[2])

    @property
    def summary(self) -> str:
        """First line of the page."""
        return self.page.strip().splitlines()[0]

    @property
    def lead(self) -> str:
        """What stands before the first heading."""
        return self.page.split(f"\n{HEADINGS[0]}\n-", maxsplit=1)[0].strip()

    @property
    def sections(self) -> dict[str, str]:
        """Text under each of the HEADINGS the page has, without the heading."""
        return _sections(self.page)

    def section(self, heading: str) -> str:
        """Text under one of HEADINGS, without the heading."""
        return _sections(self.page)[heading]


def rule(
    code: str,
    name: str,
    *,
    tier: int,
    status: Literal["preview", "stable", "deprecated"] = "stable",
    needs: tuple[str, ...] = (),
    limits: tuple[str, ...] = (),
) -> Callable[[Callable[[Trace, Limits], Verdict]], Rule]:
    """Turn a judging function into a Rule; its docstring is the page."""

    def wrap(judge: Callable[[Trace, Limits], Verdict]) -> Rule:
        page = _dedent(judge.__doc__ or "")
        return Rule(code, name, tier, status, needs, judge, limits, page, judge.__code__.co_filename)

    return wrap


def _dedent(text: str) -> str:
    import inspect  # noqa: PLC0415 - a third of the import time of this file

    return inspect.cleandoc(text)


def _sections(page: str) -> dict[str, str]:
    pattern = "^(" + "|".join(re.escape(heading) for heading in HEADINGS) + ")\n-+\n"
    parts = re.split(pattern, page, flags=re.MULTILINE)
    # Not cleandoc: it would strip the first line alone and so unindent the body of a class or function.
    return {
        heading: textwrap.dedent(body.strip("\n")).rstrip()
        for heading, body in zip(parts[1::2], parts[2::2], strict=True)
    }
