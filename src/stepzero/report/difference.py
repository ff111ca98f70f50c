"""A Difference as text: what is new first, then what changed, what is gone, and the layers that moved."""

from collections.abc import Sequence

from stepzero.core.difference import Changed, Difference, Moved
from stepzero.core.finding import Finding
from stepzero.report import causes, numbers
from stepzero.report.style import Paint, clean, wrap

MOST_LAYERS = 12
"""Layers that moved, told by name; the rest are counted."""


def render(difference: Difference, width: int, paint: Paint) -> str:
    """Render for ``width`` columns; ends in a newline."""
    lines = [paint(line, "bold") for line in wrap(f"{difference.before} → {difference.after}", width)] + [""]
    for reason in difference.incomplete:
        lines += wrap(f"INCOMPLETE  {clean(reason)}", width, "    ", first="")
    for sign, title, found in (("+", "New", difference.new), ("-", "Gone", difference.gone)):
        entries = [line for finding in found for line in _finding(sign, finding, width, paint)]
        lines += [paint(title, "bold"), *entries, ""] if entries else []
    changed = [line for change in difference.changed for line in _changed(change, width, paint)]
    lines += [paint("Changed", "bold"), *changed, ""] if changed else []
    lines += _layers(difference, width, paint)
    return "\n".join([*lines, _summary(difference)]) + "\n"


def _finding(sign: str, finding: Finding, width: int, paint: Paint) -> list[str]:
    under = "  (a consequence)" if finding.root else ""
    where = causes.places(finding.where)
    text = f"{finding.severity} {finding.code} {finding.name}  {where}: {clean(finding.message)}{under}"
    first, *rest = wrap(text, width, "    ", first=f"{sign} ")
    return [first.replace(finding.severity, paint(finding.severity, finding.severity), 1), *rest]


def _changed(change: Changed, width: int, paint: Paint) -> list[str]:
    one, two = change.before, change.after
    facts = []
    if one.severity != two.severity:
        facts.append(f"{one.severity} → {paint(two.severity, two.severity)}")
    if one.value != two.value:
        facts.append(f"{numbers.number(one.value)} → {numbers.number(two.value)} {two.unit}".rstrip())
    if set(one.where) != set(two.where):
        facts.append(f"was at {causes.places(one.where)}")
    text = f"{two.code} {two.name}  {causes.places(two.where)}: {', '.join(facts)}"
    return wrap(text, width, "    ", first="~ ")


def _layers(difference: Difference, width: int, paint: Paint) -> list[str]:
    by_path: dict[str, list[Moved]] = {}
    for moved in difference.moved:
        by_path.setdefault(moved.path, []).append(moved)
    lines = [line for path, moves in list(by_path.items())[:MOST_LAYERS] for line in _moves(path, moves, width)]
    if len(by_path) > MOST_LAYERS:
        lines.append(f"  ... {numbers.count(len(by_path) - MOST_LAYERS, 'more layer')} (--format json has all)")
    for sign, paths in (("+", difference.layers_new), ("-", difference.layers_gone)):
        lines += wrap(f"{sign} {causes.places(paths)}", width, "    ", first="  ") if paths else []
    return [paint("Layers", "bold"), *lines, ""] if lines else []


def _moves(path: str, moves: Sequence[Moved], width: int) -> list[str]:
    told = ", ".join(
        f"{move.quantity.replace('_', ' ')} {numbers.number(move.before)} → {numbers.number(move.after)}"
        for move in moves
    )
    return wrap(f"{clean(path)}  {told}", width, "    ", first="  ")


def _summary(difference: Difference) -> str:
    layers = {moved.path for moved in difference.moved}
    if difference.is_empty:
        return "no difference"
    return (
        f"{len(difference.new)} new, {len(difference.gone)} gone, {len(difference.changed)} changed; "
        f"{numbers.count(len(layers), 'layer')} moved"
    )
