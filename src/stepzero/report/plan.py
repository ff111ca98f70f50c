"""A Plan as text: what was found, what was written where and why, how far calibration had to go."""

from collections import Counter
from collections.abc import Iterator

from stepzero.core.plan import Entry, Plan, Scaling
from stepzero.report.style import Paint, clean, pad, shorten, wrap

SHOWN = 40
"""Parameters listed before the rest is counted."""


def render(plan: Plan, *, width: int = 100, color: bool = False, verbose: bool = False) -> str:
    """The Plan in ``width`` columns; without ``verbose`` long lists are cut and counted."""
    paint = Paint(color)
    lines = [f"{paint(clean(plan.model), 'bold')}  scheme {plan.scheme}, seed {plan.seed}"]
    lines += _found(plan, width, paint)
    rows = [entry for entry in plan.entries if entry.role != "buffer" or entry.action == "skipped"]
    shown = rows if verbose else rows[:SHOWN]
    factors = {each.name: each for each in plan.scalings}
    for entry in shown:
        lines += _entry(entry, factors.get(entry.name), width, paint)
    if len(shown) < len(rows):
        lines.append(f"  ... and {len(rows) - len(shown)} more; -v lists all")
    lines += [line for scaling in plan.scalings for line in _scaled_only(plan, scaling, width, paint)]
    for name, why in plan.skipped:
        lines += wrap(f"not calibrated: {clean(name)}: {why}", width, "    ", "  ")
    lines += [line for note in plan.notes for line in wrap(f"note: {clean(note)}", width, "    ", "  ")]
    return "\n".join([*lines, *wrap(_total(plan), width)]) + "\n"


def _found(plan: Plan, width: int, paint: Paint) -> Iterator[str]:
    if not plan.before and not plan.after:
        return
    for title, places in (("before", plan.before), ("after", plan.after)):
        role = "error" if places and title == "after" else "good" if not places else "bold"
        words = "; ".join(clean(place) for place in places) if places else "no error, no warning"
        yield from wrap(f"{title}: {words}", width, "    ", f"  {paint('', role)}")


def _entry(entry: Entry, scaling: Scaling | None, width: int, paint: Paint) -> list[str]:
    name = shorten(clean(entry.name), max(20, width // 3))
    what = entry.action
    if entry.action == "drawn":
        what = f"{entry.scheme}, std {entry.std:.3g}" if entry.std is not None else entry.scheme
    elif entry.action == "set" and entry.value is not None:
        what = f"= {entry.value:g}"
    if scaling is not None:
        what += f", x{scaling.factor:.3g}"
    lead = f"  {pad(name, max(20, width // 3))}  "
    told = wrap(f"{what}: {clean(entry.why)}", width, " " * len(lead), lead)
    return [told[0].replace(name, paint(name, "place"), 1), *told[1:]]


def _scaled_only(plan: Plan, scaling: Scaling, width: int, paint: Paint) -> list[str]:
    """Weights that were calibrated and not drawn."""
    if any(entry.name == scaling.name for entry in plan.entries):
        return []
    text = f"x{scaling.factor:.3g}: output {scaling.before:.3g} -> {scaling.target:.3g}"
    return [f"  {pad(paint(shorten(clean(scaling.name), width // 3), 'place'), max(20, width // 3))}  {text}"]


def _total(plan: Plan) -> str:
    counts = Counter(entry.action for entry in plan.entries)
    told = ", ".join(f"{counts[action]} {action}" for action in ("drawn", "set", "kept", "skipped") if counts[action])
    number = len(plan.scalings)
    passes = f"; calibrated {number} weight{'s' * (number > 1)} in {plan.forwards} forward passes" if number else ""
    return f"{told or 'nothing written'}{passes}{' (dry run: nothing was written)' if plan.is_dry_run else ''}"
