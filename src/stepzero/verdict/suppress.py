"""Which findings are suppressed, by what, and which suppressions hide nothing.

A suppression holds for a finding when, alone or with others, it covers *every* place the finding names: hiding less
than was meant is seen at once, hiding more is not. What follows from a suppressed finding goes with it, unless another
finding that counts explains it too: a fault that is known and meant must not come back as its consequences. A finding
that hangs under another one can be suppressed by itself.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase

from stepzero.core.errors import ConfigError
from stepzero.core.finding import Finding
from stepzero.core.suppression import Suppressed, Suppression, SuppressionFact
from stepzero.core.trace import Trace

Resolve = Callable[[Iterable[str], str], tuple[str, ...]]
"""From words and where they stand to codes; raises `ConfigError` for one that no rule has."""


@dataclass
class Outcome:
    """Findings that count, findings that do not, and what became of each suppression."""

    kept: list[Finding] = field(default_factory=list)
    suppressed: list[Suppressed] = field(default_factory=list)
    facts: tuple[SuppressionFact, ...] = ()


def of_comments(observed: Trace, resolve: Resolve) -> tuple[Suppression, ...]:
    """Read the comments beside creating lines; what cannot be read hides nothing and says why."""
    return tuple(
        _of_comment(comment.at, comment.words, comment.reason, comment.lines, resolve) for comment in observed.comments
    )


def _of_comment(at: str, words: tuple[str, ...], reason: str, lines: tuple[str, ...], resolve: Resolve) -> Suppression:
    if not words:
        return Suppression(at, (), reason, lines=lines, problem="names no code; write ignore[SZ401] and a reason")
    try:
        return Suppression(at, resolve(words, at), reason, lines=lines)
    except ConfigError as error:
        return Suppression(at, words, reason, lines=lines, problem=str(error).removeprefix(f"{at}: "))


def suppress(
    findings: Sequence[Finding], suppressions: Sequence[Suppression], observed: Trace, asked: Iterable[str]
) -> Outcome:
    """Part ``findings`` (with their roots) into those that count and those that do not.

    ``asked`` holds the codes of the rules that judged: a suppression of any other code is not unused.
    """
    places = _Places(observed)
    outcome, used, partly = Outcome(), dict[int, int](), dict[int, set[str]]()
    for finding in findings:
        covering, bare = _covering(finding, suppressions, places)
        for index in covering:
            if bare:
                partly.setdefault(index, set()).update(bare)
            else:
                used[index] = used.get(index, 0) + 1
        if bare:
            outcome.kept.append(finding)
        else:
            outcome.suppressed.append(_suppressed(finding, [suppressions[index] for index in covering]))
    codes = set(asked)
    outcome.facts = tuple(
        _fact(suppression, places, codes, hidden=used.get(index, 0), partly=partly.get(index, set()))
        for index, suppression in enumerate(suppressions)
        if suppression.is_local
    )
    return outcome


def followed(outcome: Outcome, others: Mapping[str, str | None]) -> Outcome:
    """Move what follows from a suppressed finding to the suppressed ones, unless another cause remains for it.

    ``others`` holds, by the id of each finding that is kept, the root it has among those that are kept.
    """
    hidden = {each.finding.id: each for each in outcome.suppressed}
    orphans = {finding.id for finding in outcome.kept if finding.root in hidden}
    kept: list[Finding] = []
    for finding in outcome.kept:
        other = others.get(finding.id)
        if finding.root is None or finding.id not in orphans:
            kept.append(finding)
        elif other is not None and other not in orphans:
            kept.append(replace(finding, root=other))
        else:
            cause = hidden[finding.root]
            outcome.suppressed.append(Suppressed(finding, f"follows from {cause.finding.id}", cause.reason))
    return replace(outcome, kept=kept)


def _suppressed(finding: Finding, by: Sequence[Suppression]) -> Suppressed:
    origins = ", ".join(dict.fromkeys(each.origin for each in by))
    return Suppressed(finding, origins, "; ".join(dict.fromkeys(each.reason for each in by if each.reason)))


def _covering(finding: Finding, suppressions: Sequence[Suppression], places: "_Places") -> tuple[list[int], list[str]]:
    """Suppressions that cover a place of ``finding``, and the places that none covers."""
    able = [index for index, each in enumerate(suppressions) if finding.code in each.codes and not each.problem]
    covering, bare = dict[int, None](), list[str]()
    for place in finding.where or ("",):
        found = [index for index in able if places.covers(suppressions[index], place)]
        covering.update(dict.fromkeys(found[:1]))  # the first that covers is the one that hides
        if not found:
            bare.append(place)
    return list(covering), bare


class _Places:
    """Paths of the model and the lines that created them."""

    def __init__(self, observed: Trace) -> None:
        self._lines = {module.path: module.source_line for module in observed.modules}
        self._lines |= {fact.name: fact.source_line for fact in observed.parameters}

    def covers(self, suppression: Suppression, place: str) -> bool:
        """Whether ``suppression`` speaks of ``place`` or of a module around it."""
        if not suppression.is_local:
            return True
        return any(
            self._lines.get(path) in suppression.lines or bool(suppression.pattern and _matches(path, suppression))
            for path in _around(place)
        )

    def of(self, suppression: Suppression) -> tuple[str, ...]:
        """Outermost paths that ``suppression`` speaks of."""
        own = [
            path
            for path, line in self._lines.items()
            if line in suppression.lines or (suppression.pattern and _matches(path, suppression))
        ]
        return tuple(path for path in own if not any(around in own for around in _around(path)[1:]))


def _matches(path: str, suppression: Suppression) -> bool:
    return fnmatchcase(path, suppression.pattern)


def _around(place: str) -> list[str]:
    """The place, the modules around it, and the model itself."""
    parts = place.split(".") if place else []
    return [".".join(parts[:length]) for length in range(len(parts), 0, -1)] + [""]


def _fact(
    suppression: Suppression, places: _Places, asked: set[str], *, hidden: int, partly: set[str]
) -> SuppressionFact:
    codes = tuple(code for code in suppression.codes if code in asked)
    return SuppressionFact(
        suppression.origin, codes, places.of(suppression), hidden, suppression.problem, tuple(sorted(partly))
    )
