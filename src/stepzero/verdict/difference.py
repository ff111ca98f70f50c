"""What is new, gone and changed between two reports, and which layers moved."""

import math
from collections.abc import Iterator, Sequence

from stepzero.core.difference import Changed, Difference, Moved
from stepzero.core.finding import Finding
from stepzero.core.limits import Limits
from stepzero.core.outcome import LayerRow, Report

QUANTITIES = ("law_ratio", "signal_out", "batch_share", "dead_share", "flat_share", "gradient_to_weight")
"""Numbers of a layer that are compared by their ratio."""
COUNTS = ("units", "distinct", "wakes")
"""Numbers of a layer that are compared exactly."""


def difference(before: Report, after: Report, limits: Limits | None = None) -> Difference:
    """Compare two reports; findings are paired by code and place, else by code and a place they share."""
    pairs, gone, new = _paired(before.findings, after.findings)
    factor = (limits or Limits()).diff_factor
    layers = _layers(before.layers), _layers(after.layers)
    return Difference(
        before.model,
        after.model,
        new=tuple(new),
        gone=tuple(gone),
        changed=tuple(Changed(one, two) for one, two in pairs if _differs(one, two, factor)),
        moved=tuple(
            moved for key, row in layers[0].items() if key in layers[1] for moved in _moved(row, layers[1][key], factor)
        ),
        layers_new=tuple(row.path for key, row in layers[1].items() if key not in layers[0]),
        layers_gone=tuple(row.path for key, row in layers[0].items() if key not in layers[1]),
        incomplete=tuple(
            f"{report.model}: {reason.what}: {reason.why}"
            for report in (before, after)
            for reason in report.coverage.incomplete
        ),
    )


def _paired(
    before: Sequence[Finding], after: Sequence[Finding]
) -> tuple[list[tuple[Finding, Finding]], list[Finding], list[Finding]]:
    pairs: list[tuple[Finding, Finding]] = []
    gone, new = list(before), list(after)
    for is_same in (_is_equal, _share):
        for one in list(gone):
            two = next((other for other in new if is_same(one, other)), None)
            if two is not None:
                pairs.append((one, two))
                gone.remove(one)
                new.remove(two)
    return pairs, gone, new


def _is_equal(one: Finding, two: Finding) -> bool:
    return one.id == two.id


def _share(one: Finding, two: Finding) -> bool:
    return one.code == two.code and bool(set(one.where) & set(two.where))


def _differs(one: Finding, two: Finding, factor: float) -> bool:
    return one.severity != two.severity or set(one.where) != set(two.where) or _is_far(one.value, two.value, factor)


def _layers(rows: Sequence[LayerRow]) -> dict[tuple[str, str, int], LayerRow]:
    """Rows by path, operation and how often the two came before."""
    found: dict[tuple[str, str, int], LayerRow] = {}
    for row in rows:
        number = 0
        while (row.path, row.name, number) in found:
            number += 1
        found[row.path, row.name, number] = row
    return found


def _moved(one: LayerRow, two: LayerRow, factor: float) -> Iterator[Moved]:
    for name in QUANTITIES:
        if _is_far(getattr(one, name), getattr(two, name), factor):
            yield Moved(one.path, name, getattr(one, name), getattr(two, name))
    for name in COUNTS:
        if getattr(one, name) != getattr(two, name):
            yield Moved(one.path, name, getattr(one, name), getattr(two, name))


def _is_far(one: float | None, two: float | None, factor: float) -> bool:
    """Whether two numbers differ by more than ``factor``; a number and none always do."""
    if one is None or two is None or not (math.isfinite(one) and math.isfinite(two)):
        return one is not two and not (one == two or (one != one and two != two))
    small, large = sorted((abs(one), abs(two)))
    return one * two < 0 or large > factor * small
