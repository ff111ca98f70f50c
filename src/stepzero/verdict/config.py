"""``[tool.stepzero]`` in pyproject.toml: found upward, read strictly, its errors named by file and key."""

import tomllib
from pathlib import Path
from typing import Any, Literal

import msgspec

from stepzero.core.errors import ConfigError, did_you_mean

FILE, TABLE = "pyproject.toml", "tool.stepzero"


class Ignored(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Codes with the reason for leaving them out."""

    codes: list[str]
    reason: str = ""


class Config(msgspec.Struct, frozen=True, forbid_unknown_fields=True, rename="kebab"):
    """The table; None where it says nothing."""

    select: list[str] | None = None
    extend_select: list[str] | None = None
    ignore: list[str] | None = None
    per_module_ignores: dict[str, list[str] | Ignored] | None = None
    fail_on: Literal["error", "warning", "never"] | None = None
    baseline: str | None = None
    """Path, relative to the folder of the file."""
    seed: int | None = None
    seeds: int | None = None
    timeout: float | None = None
    deep: bool | None = None


EXPECTED = {
    "select": 'a list of codes, prefixes or names such as ["SZ3", "dead-units"]',
    "extend-select": 'a list of codes, prefixes or names such as ["SZ3", "dead-units"]',
    "ignore": 'a list of codes, prefixes or names such as ["SZ302"]',
    "per-module-ignores": 'a table such as {"encoder.*" = ["SZ302"]} or {"*.gate" = {codes = ["SZ7"], reason = "..."}}',
    "fail-on": '"error", "warning" or "never"',
    "baseline": "the path of a file that `stepzero baseline write` made",
    "seed": "a whole number from 0 on",
    "seeds": "a whole number from 1 on",
    "timeout": "seconds, more than 0",
    "deep": "true or false",
}
"""Every key, and what it takes, in words."""


def find(start: Path) -> Path | None:
    """The nearest pyproject.toml with the table, from the folder ``start`` upward; None when there is none.

    Raises:
        ConfigError: one on the way is no TOML, so that nobody can say whether it has the table.
    """
    for folder in (start, *start.parents):
        file = folder / FILE
        if file.is_file() and table(file) is not None:
            return file
    return None


def table(file: Path) -> dict[str, Any] | None:
    """The raw table of ``file``, or None; `ConfigError` when the file is not readable."""
    try:
        tool = tomllib.loads(file.read_text(encoding="utf-8")).get("tool", {})
    except (OSError, ValueError) as error:
        raise ConfigError(f"{file}: expected TOML, got: {error}") from None
    found = tool.get("stepzero") if isinstance(tool, dict) else None
    if found is not None and not isinstance(found, dict):
        raise ConfigError(f"{file}: {TABLE}: expected a table, got {found!r}")
    return found


def read(file: Path) -> Config:
    """Read the table strictly.

    Raises:
        ConfigError: names the file, the key, what was expected, what came, and the nearest key for an unknown one.
    """
    raw = table(file) or {}
    for key in raw:
        if key not in EXPECTED:
            near = did_you_mean(key, EXPECTED)
            raise ConfigError(f"{file}: {TABLE}: no key {key!r}{near or '; known: ' + ', '.join(EXPECTED)}")
        _check(file, key, raw[key])
    return msgspec.convert(raw, Config)


def _check(file: Path, key: str, value: Any) -> None:
    """Read one key alone, so that the error can say which it is."""
    try:
        found = msgspec.convert({key: value}, Config)
    except msgspec.ValidationError:
        raise ConfigError(f"{file}: {TABLE}.{key}: expected {EXPECTED[key]}, got {value!r}") from None
    low = {"seed": 0, "seeds": 1}.get(key)
    number = getattr(found, key.replace("-", "_"))
    if (low is not None and number < low) or (key == "timeout" and not number > 0):
        raise ConfigError(f"{file}: {TABLE}.{key}: expected {EXPECTED[key]}, got {value!r}")
