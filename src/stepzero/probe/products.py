"""Zero factors that keep each other asleep: who blocks whom, told by redrawing them one at a time."""

from functools import partial

from stepzero.core.wake import DeadProduct
from stepzero.measure.relation import connected
from stepzero.probe.packed import factors_of
from stepzero.probe.redrawn import role_of
from stepzero.probe.sleepers import Sleepers

_EXAMINED = 40
"""Stuck parameters looked into one by one; a model with more has one fault many times over."""


def dead_products(sleepers: Sleepers) -> tuple[list[DeadProduct], list[tuple[str, str]], set[str]]:
    """Zero factors that block each other; (blocked, blocking) pairs besides; everything that some redraw wakes.

    A zero that wakes another stuck zero is its partner even if it stays asleep itself for the moment, because the
    activation between them has slope zero there.
    """
    asked = [name for name in sleepers.stuck if sleepers.is_factor(name) and name not in sleepers.off]
    found = [name for name in asked if sleepers.zero_slices(name)]
    zeros, untried = found[:_EXAMINED], found[_EXAMINED:]
    revived = {name: sleepers.revived_by([name]) for name in zeros}
    pairs: dict[str, set[str]] = {name: set() for name in zeros}
    for name in zeros:
        for other in revived[name] & set(zeros) - {name}:
            pairs[name].add(other)
            pairs[other].add(name)
    groups = connected(pairs)
    lonely = [name for name in zeros if not pairs[name] and name not in revived[name]]
    if not groups and len(lonely) > 1:
        rest = {name: sleepers.revived_by([each for each in lonely if each != name]) for name in lonely}
        held = [name for name in lonely if name in rest[name]]
        if len(held) == 1:  # a kink at zero keeps the others asleep even then: which of them does this one need?
            drawn = {name: [each for each in lonely if each not in (name, held[0])] for name in lonely}
            needed = [name for name in lonely if held[0] not in sleepers.revived_by(drawn[name])]
            held = [name for name in lonely if name in needed or name == held[0]]
        if len(held) > 1:  # one alone is woken by the others, and wakes nothing itself
            groups = [tuple(held)]
            revived |= rest
    inside = {name for group in groups for name in group}
    products = [
        DeadProduct(group, tuple(sorted({each for name in group for each in revived[name]} - inside)))
        for group in groups
    ]
    products += _packed(sleepers, [name for name in zeros if name not in inside], revived)
    inside |= {name for product in products for name in product.factors}
    roles = {role_of(name) for name in inside}
    alike = tuple(name for name in untried if role_of(name) in roles)
    if alike:  # block after block has one fault: the rest plays the same roles
        products.append(DeadProduct(alike))
    silenced = {name for product in products for name in product.silenced}
    blockers = [
        (one, name) for name in zeros if name not in inside for one in sorted(revived[name]) if one not in silenced
    ]
    return products, blockers, {one for found in revived.values() for one in found}


def _packed(sleepers: Sleepers, names: list[str], revived: dict[str, set[str]]) -> list[DeadProduct]:
    """Products whose zero factors are slices of one parameter."""
    tried = ((name, factors_of(sleepers.zero_slices(name), partial(sleepers.woken_inside, name))) for name in names)
    return [
        DeadProduct((name,), tuple(sorted(revived[name] - {name})), slices)
        for name, slices in tried
        if slices is not None
    ]
