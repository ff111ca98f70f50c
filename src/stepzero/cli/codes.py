"""From ``--select SZ3,dead-units`` to rule codes: codes, prefixes of codes and names are understood."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from stepzero.core.errors import ConfigError, did_you_mean

if TYPE_CHECKING:
    from stepzero.core.rule import Rule
    from stepzero.verdict.config import Config


def split(values: Iterable[str]) -> tuple[str, ...]:
    """Take ``('SZ1,SZ2', 'SZ3')`` apart at commas and blanks."""
    return tuple(part for value in values for part in value.replace(",", " ").split())


def expand(words: Sequence[str], rules: Sequence["Rule"], flag: str) -> tuple[str, ...]:
    """Return the codes that ``words`` mean, in the order of ``rules``; `ConfigError` names the nearest one."""
    wanted = {rule.code for word in words for rule in _matching(word, rules, flag)}
    return tuple(rule.code for rule in rules if rule.code in wanted)


def find(word: str, rules: Sequence["Rule"]) -> "Rule | None":
    """Return the rule of exactly this code or name, in any case."""
    return next((rule for rule in rules if word.lower() in (rule.code.lower(), rule.name.lower())), None)


@dataclass(frozen=True, slots=True)
class Words:
    """Codes, prefixes and names as given for ``select``, ``extend-select`` and ``ignore``."""

    select: Sequence[str] = ()
    extend: Sequence[str] = ()
    ignore: Sequence[str] = ()


def merged(
    flags: Words, table: "Config", place: str, rules: Sequence["Rule"]
) -> tuple[tuple[str, ...] | None, tuple[str, ...] | None]:
    """Return (select, ignore) as codes, a flag in the place of the table's key of the same name.

    None where nothing was said, so that the defaults of a check hold. ``place`` is what an error about a word of the
    table begins with.
    """

    def meant(name: str, given: Sequence[str], other: Sequence[str] | None) -> tuple[str, ...] | None:
        if given:
            return expand(given, rules, f"--{name}")
        return expand(other, rules, f"{place}{name}") if other is not None else None

    chosen = meant("select", flags.select, table.select)
    extra = meant("extend-select", flags.extend, table.extend_select)
    if extra:
        base = chosen if chosen is not None else tuple(rule.code for rule in rules if rule.status != "deprecated")
        chosen = tuple(sorted({*base, *extra}))
    return chosen, meant("ignore", flags.ignore, table.ignore)


def _matching(word: str, rules: Sequence["Rule"], flag: str) -> list["Rule"]:
    exact = find(word, rules)
    if exact is not None:
        return [exact]
    is_prefix = word.upper().startswith("SZ")
    family = [rule for rule in rules if is_prefix and rule.code.startswith(word.upper())]
    if not family:
        known = [known for rule in rules for known in (rule.code, rule.name)]
        near = did_you_mean(word.upper() if is_prefix else word.lower(), known)
        raise ConfigError(f"{flag}: no rule {word!r}{near or '; see `stepzero rules` for all of them'}")
    return family
