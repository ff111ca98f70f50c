"""From codes, prefixes and names to rules."""

from collections.abc import Iterable
from typing import Any

from stepzero import rules
from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.core.rule import Rule


def chosen(select: Any) -> tuple[Rule, ...]:
    """Rules that ``select`` means; all that are not deprecated when it is None.

    Raises:
        ConfigError: a code that no rule has.
    """
    wanted = words(select, "select")
    return tuple(
        rule
        for rule in rules.ALL
        if (select is None or any(is_meant(rule, word) for word in wanted)) and rule.status != "deprecated"
    )


def codes(given: Any, flag: str) -> tuple[str, ...]:
    """Codes of the rules that ``given`` means; `ConfigError` as in `words`."""
    wanted = words(given, flag)
    return tuple(rule.code for rule in rules.ALL if any(is_meant(rule, word) for word in wanted))


def words(given: Any, flag: str) -> tuple[str, ...]:
    """Check codes, names and prefixes against what exists; `ConfigError` names the nearest."""
    if given is None:
        return ()
    parts = given.split(",") if isinstance(given, str) else tuple(given) if isinstance(given, Iterable) else (given,)
    if not all(isinstance(word, str) for word in parts):
        raise ConfigError(f"{flag}: expected codes, names or prefixes such as 'SZ1', got {given!r}")
    listed = tuple(word.strip() for word in parts) if isinstance(given, str) else tuple(parts)
    known = [*(rule.code for rule in rules.ALL), *(rule.name for rule in rules.ALL)]
    for word in listed:
        if not word or not any(is_meant(rule, word) for rule in rules.ALL):
            raise ConfigError(
                f"{flag}: no rule {word!r}{did_you_mean(word, known)}; `stepzero rules` lists all of them"
            )
    return listed


def is_meant(rule: Rule, word: str) -> bool:
    """Whether ``word`` is the rule's name, its code or how its code begins."""
    return rule.code.startswith(word) or rule.name == word
