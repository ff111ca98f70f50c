"""Root causes and consequences: one fault is reported once, and what follows from it hangs under it.

Order of families as in the catalogue (0.8): 1 memory, 9 the batch, 7 structure, 2 symmetry, 8 shards, 6 biases,
3 forward signal, 5 output, 4 gradients. A finding may explain another one when its code is known to cause that kind
of trouble *and* the two places are connected in the dataflow graph in the direction the trouble travels.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from stepzero.core.finding import RANK, Finding
from stepzero.core.graph import Graph
from stepzero.core.trace import Trace

ORDER = (1, 9, 7, 2, 8, 6, 3, 5, 4)
"""Families, causes first."""

_STEP = ("SZ410", "SZ411")
"""What a step does that is too long for where it starts."""
_BY_SCALE = (*_STEP, "SZ407", "SZ301", "SZ303", "SZ304", "SZ305", "SZ314", "SZ401", "SZ501", "SZ507", "SZ510")
_ANY_SIGNAL = ("SZ302", "SZ307", "SZ308", "SZ903", *_BY_SCALE)
_CAUSES: dict[str, tuple[str, ...]] = {
    "SZ102": ("SZ101", "SZ103", "SZ206", "SZ408", *_ANY_SIGNAL),
    "SZ101": ("SZ103", "SZ408", *_ANY_SIGNAL),
    "SZ103": (*_STEP, "SZ301", "SZ303", "SZ305", "SZ401", "SZ408", "SZ501", "SZ510"),
    "SZ106": ("SZ302", "SZ313", "SZ407", "SZ408", *_ANY_SIGNAL),
    "SZ107": ("SZ101", "SZ206", "SZ318"),
    "SZ109": ("SZ302", "SZ318", "SZ402", "SZ404", "SZ604", "SZ606", "SZ701", "SZ703", "SZ706", "SZ707", *_ANY_SIGNAL),
    "SZ901": (*_STEP, "SZ301", "SZ303", "SZ305", "SZ401", "SZ501", "SZ510"),
    "SZ902": (*_STEP, "SZ407", "SZ504", "SZ510"),
    "SZ407": _STEP,
    "SZ504": (*_STEP, "SZ407"),
    "SZ501": (*_STEP, "SZ407"),
    "SZ206": ("SZ203", "SZ201", "SZ205", "SZ301", "SZ303", "SZ305", "SZ401", "SZ402", "SZ501", "SZ507"),
    "SZ602": ("SZ303", "SZ305", "SZ401", "SZ402", "SZ507", "SZ601"),
    "SZ601": ("SZ303", "SZ305", "SZ306", "SZ314", "SZ401"),
    "SZ310": ("SZ301", "SZ305", "SZ401", "SZ402", "SZ501", "SZ507"),
    "SZ313": ("SZ408", "SZ307", "SZ302", *_BY_SCALE),
    "SZ302": _BY_SCALE,
    "SZ308": (*_STEP, "SZ303", "SZ305", "SZ401", "SZ501", "SZ507", "SZ510"),
    "SZ301": (*_STEP, "SZ303", "SZ305", "SZ401", "SZ501", "SZ507", "SZ510"),
    "SZ303": ("SZ314", "SZ401"),
    "SZ305": ("SZ314", "SZ401", "SZ402", "SZ507"),
    "SZ701": ("SZ206", "SZ301", "SZ303", "SZ305", "SZ401", "SZ402", "SZ404", "SZ507"),
    "SZ702": (*_STEP, "SZ407", "SZ301", "SZ303", "SZ307", "SZ401", "SZ501", "SZ510"),
    "SZ201": ("SZ801", "SZ205", "SZ206", "SZ401", "SZ402"),
    "SZ202": ("SZ205",),
    "SZ203": ("SZ205",),
    "SZ208": ("SZ801", "SZ206", "SZ401", "SZ402"),
    "SZ703": ("SZ301", "SZ401", "SZ402", "SZ404", "SZ507"),
    "SZ406": ("SZ405",),
}
"""What each code can bring about."""
_IN_PLACE: dict[str, tuple[str, ...]] = {"SZ701": ("SZ201", "SZ202")}
"""What it brings about in the very tensors it names: zero factors are equal, too."""
_OF_ITS_PLACE = frozenset(["SZ103", "SZ302", "SZ406", "SZ702"])
"""Told from the very tensors they name, or true of the network drawn by its laws, too: no repair elsewhere helps."""
_DEEPEST = ("SZ102", "SZ313", "SZ302")
"""Come first in their family, in this order: never-written memory explains what the memory holds, a misread fan the
scale, a wrong scale what it does."""


Vanished = Mapping[str, frozenset[str]]
"""For a finding's id the ids of those that were gone when its place was redrawn by law on a copy."""


def attribute(trace: Trace, findings: Sequence[Finding], vanished: Vanished | None = None) -> tuple[Finding, ...]:
    """Return the findings with ``root`` filled in, each root as loud as its worst consequence."""
    return as_loud(explained(trace, findings, vanished))


def explained(trace: Trace, findings: Sequence[Finding], vanished: Vanished | None = None) -> tuple[Finding, ...]:
    """Return the findings with ``root`` filled in; a root is never itself a consequence.

    What a counterfactual repair made vanish hangs under what was repaired; the rest is told from the graph.
    """
    gone = vanished or {}
    graph = Graph(trace)
    ordered = sorted(findings, key=_rank)
    roots: list[Finding] = []
    told: list[Finding] = []
    for finding in ordered:
        explaining = [root for root in roots if finding.id in gone.get(root.id, ()) or _explains(graph, root, finding)]
        root = max(explaining, key=lambda root: bool(set(root.where) & set(finding.where)), default=None)
        told.append(replace(finding, root=root.id) if root else finding)
        if root is None:
            roots.append(finding)
    return tuple(told)


def as_loud(findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Give each root the severity of its worst consequence: consequences do not count in the verdict, so it must."""
    return tuple(_as_loud_as_its_worst(finding, findings) for finding in findings)


def candidates(trace: Trace, findings: Sequence[Finding]) -> tuple[Finding, ...]:
    """Findings worth a counterfactual repair, causes first: warnings and errors that nothing explains yet.

    Only such whose repair could make another one vanish.
    """
    loud = [each for each in attribute(trace, findings) if each.root is None and RANK[each.severity] <= RANK["warning"]]
    worth = [each for each in loud if any(_could_follow(other, each) for other in loud if other is not each)]
    return tuple(sorted(worth, key=_rank))


def _could_follow(finding: Finding, root: Finding) -> bool:
    return finding.code not in _OF_ITS_PLACE or bool(set(finding.where) & set(root.where))


def _as_loud_as_its_worst(finding: Finding, explained: Sequence[Finding]) -> Finding:
    worst = min([finding, *(other for other in explained if other.root == finding.id)], key=lambda f: RANK[f.severity])
    return finding if worst.severity == finding.severity else replace(finding, severity=worst.severity)


def _rank(finding: Finding) -> tuple[int, int, int, int, str]:
    family = int(finding.code[2])
    place = ORDER.index(family) if family in ORDER else len(ORDER)
    depth = _DEEPEST.index(finding.code) if finding.code in _DEEPEST else len(_DEEPEST)
    return place, depth, RANK[finding.severity], finding.operation or 0, finding.code


def _explains(graph: Graph, root: Finding, finding: Finding) -> bool:
    if finding.code in _IN_PLACE.get(root.code, ()) and set(root.where) & set(finding.where):
        return True
    if finding.code not in _CAUSES.get(root.code, ()) or RANK[root.severity] > RANK["warning"]:
        return False
    if set(root.where) & set(finding.where):
        return True
    sources, targets = _operations(graph, root), _operations(graph, finding)
    if not sources or not targets:
        return False
    if finding.code[2] == "4":  # gradients travel both ways from a fault: less arrives above it, more or less below it
        return bool((graph.upstream(sources) | graph.downstream(sources)) & targets)
    return bool(graph.downstream(sources) & targets)


def _operations(graph: Graph, finding: Finding) -> set[int]:
    """Operations a finding sits at: its own, or those that read its parameters or run in its modules."""
    if finding.operation is not None:
        return {finding.operation}
    if finding.code[2] == "5" and graph.trace.loss.operation is not None:
        return {graph.trace.loss.operation}
    places = set(finding.where)
    return {
        operation.index
        for operation in graph.trace.operations
        if any(use.parameter in places for use in operation.uses) or operation.module in places
    }
