"""What a check was asked for, understood: which rules, what does not count, against which baseline."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from stepzero.core.baseline import Baseline
from stepzero.core.errors import ConfigError, did_you_mean
from stepzero.core.limits import Limits
from stepzero.core.rule import Rule
from stepzero.core.suppression import Suppression
from stepzero.core.trace import PROFILES
from stepzero.rules import selection
from stepzero.verdict import baseline as baselines

LATE = frozenset(["suppressions", "seeds"])
"""What some rules need that is only known when the others have judged."""


@dataclass(frozen=True, slots=True)
class Asked:
    """Everything about a check but the model and its data."""

    chosen: tuple[Rule, ...]
    """Every rule that judges, those that are ignored too."""
    left_out: frozenset[str] = frozenset()
    """Codes that are ignored everywhere."""
    suppressions: tuple[Suppression, ...] = ()
    baseline: Baseline | None = None
    limits: Limits = Limits()  # noqa: RUF009 - frozen, so one shared default is safe
    optimizer: Any = None
    lr: float | None = None
    profiles: tuple[str, ...] = ()
    deep: bool = False
    reference: Any = None

    @property
    def counted(self) -> tuple[Rule, ...]:
        """Rules that are not ignored: only they may ask for measurements of their own."""
        return tuple(rule for rule in self.chosen if rule.code not in self.left_out)

    def late(self, need: str) -> tuple[Rule, ...]:
        """Counted rules that need ``need``, one of LATE."""
        return tuple(rule for rule in self.counted if need in rule.needs)


def asked_for(
    select: Any = None,
    ignore: Any = None,
    per_module_ignores: Any = None,
    baseline: Any = None,
    limits: Limits | None = None,
    *,
    optimizer: Any = None,
    lr: float | None = None,
    profile: Any = None,
    deep: bool = False,
    reference: Any = None,
) -> Asked:
    """Check every argument; `ConfigError` says which is wrong, and what comes nearest to an unknown code."""
    chosen = selection.chosen(select)
    left_out = selection.codes(ignore, "ignore")
    return Asked(
        chosen,
        frozenset(left_out),
        (*((Suppression("ignore", left_out),) if left_out else ()), *_by_module(per_module_ignores)),
        _baseline(baseline),
        limits or Limits(),
        optimizer,
        lr,
        _profiles(profile),
        deep,
        reference,
    )


def _profiles(profile: Any) -> tuple[str, ...]:
    given = () if profile is None else (profile,) if isinstance(profile, str) else profile
    named = tuple(given) if isinstance(given, Iterable) else (given,)
    if unknown := [name for name in named if name not in PROFILES]:
        guess = did_you_mean(str(unknown[0]), PROFILES)
        raise ConfigError(f"profile: no profile {unknown[0]!r}{guess}; known: {', '.join(PROFILES)}")
    return named


def _by_module(given: Any) -> tuple[Suppression, ...]:
    if given is None:
        return ()
    if not isinstance(given, Mapping):
        raise ConfigError(f"per_module_ignores: expected a dict of patterns and codes, got {given!r}")
    return tuple(_of_pattern(pattern, entry) for pattern, entry in given.items())


def _of_pattern(pattern: Any, entry: Any) -> Suppression:
    where = f"per-module-ignores {pattern!r}"
    if not isinstance(pattern, str) or not pattern:
        raise ConfigError(f"{where}: expected a pattern of module paths such as 'encoder.*'")
    words, reason = (entry.get("codes"), entry.get("reason", "")) if isinstance(entry, Mapping) else (entry, "")
    strange = sorted(set(entry) - {"codes", "reason"}) if isinstance(entry, Mapping) else []
    if strange:
        near = did_you_mean(str(strange[0]), ["codes", "reason"])
        raise ConfigError(f"{where}: no key {strange[0]!r}{near or '; expected codes and reason'}")
    if not isinstance(reason, str):
        raise ConfigError(f"{where}: expected the reason as text, got {reason!r}")
    codes = selection.codes(words, where)
    if not codes:
        raise ConfigError(f"{where}: expected codes or names such as ['SZ302'], got {words!r}")
    return Suppression(where, codes, reason, pattern=pattern)


def _baseline(given: Any) -> Baseline | None:
    if given is None or isinstance(given, Baseline):
        return given
    if isinstance(given, str | Path):
        return baselines.read(given)
    raise ConfigError(f"baseline: expected a path or a Baseline, got {type(given).__name__}")
